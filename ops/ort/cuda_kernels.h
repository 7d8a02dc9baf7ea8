// The ops on CUDA as ONNX Runtime sees them. All memory is the device's, `step` and the count of runs
// included; the host queues work on the stream of the run and waits for nothing.
#pragma once

#include <string>

#include "cuda/fault.h"
#include "cuda/run_counter.h"
#include "ort/kernel_context.h"
#include "ort/tensors.h"
#include "rrelu.h"
#include "schema.h"

namespace ort_rrelu {

// What the kernels have in common. Making one fails where the driver cannot run them.
class CudaKernel {
 public:
  static constexpr const char* kProvider = "CUDAExecutionProvider";
  const OrtApi& api() const { return api_; }

 protected:
  CudaKernel(const KernelContext& context, const char* op);
  void* Stream(OrtKernelContext* context) const;
  // Throws unless the error is "".
  void Check(const std::string& error) const;

  const OrtApi& api_;
  const std::string label_;
};

class CudaRReluKernel : public CudaKernel {
 public:
  using Op = schema::RRelu;
  explicit CudaRReluKernel(const KernelContext& context);
  void Compute(OrtKernelContext* context);

 private:
  cuda::Source SourceOf(const Tensors& tensors, void* stream);

  const ort_rrelu_params params_;
  cuda::RunCounter runs_;
};

class CudaNoiseGradKernel : public CudaKernel {
 public:
  using Op = schema::RReluGrad;
  explicit CudaNoiseGradKernel(const KernelContext& context);
  void Compute(OrtKernelContext* context);

 private:
  const int dtype_;
};

// What the device finds wrong with a reserve fails the node's next run.
class CudaReserveGradKernel : public CudaKernel {
 public:
  using Op = schema::RReluGrad;
  explicit CudaReserveGradKernel(const KernelContext& context);
  void Compute(OrtKernelContext* context);

 private:
  const int dtype_;
  cuda::Fault fault_;
};

}  // namespace ort_rrelu
