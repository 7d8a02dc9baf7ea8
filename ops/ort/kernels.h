// The ops on the CPU as ONNX Runtime sees them: state of a node, one Compute for each run.
#pragma once

#include <atomic>
#include <string>

#include "ort/kernel_context.h"
#include "ort/node_inputs.h"
#include "ort/tensors.h"
#include "rrelu.h"
#include "schema.h"

namespace ort_rrelu {

inline constexpr const char* kCpuProvider = "CPUExecutionProvider";

class RReluKernel {
 public:
  using Op = schema::RRelu;
  static constexpr const char* kProvider = kCpuProvider;
  explicit RReluKernel(const KernelContext& context);
  void Compute(OrtKernelContext* context);
  const OrtApi& api() const { return api_; }

 private:
  uint64_t Seed() const;
  uint64_t Step(const Tensors& tensors);
  uint8_t* Reserve(const Tensors& tensors, const ort_rrelu_params& params, uint64_t size);

  const OrtApi& api_;
  const std::string label_;
  const NodeParams node_;
  std::atomic<uint64_t> runs_{0};
};

// RReluGrad has two kernels for each T, by the type of `saved`.
class RReluGradKernel {
 public:
  using Op = schema::RReluGrad;
  static constexpr const char* kProvider = kCpuProvider;
  explicit RReluGradKernel(const KernelContext& context);
  const OrtApi& api() const { return api_; }

 protected:
  const OrtApi& api_;
  const std::string label_;
  ort_rrelu_params params_;
};

class NoiseGradKernel : public RReluGradKernel {
 public:
  using RReluGradKernel::RReluGradKernel;
  void Compute(OrtKernelContext* context);
};

class ReserveGradKernel : public RReluGradKernel {
 public:
  using RReluGradKernel::RReluGradKernel;
  void Compute(OrtKernelContext* context);
};

}  // namespace ort_rrelu
