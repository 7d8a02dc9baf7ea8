// The two ops as ONNX Runtime sees them: state of a node, one Compute for each run.
#pragma once

#include <atomic>
#include <optional>

#include "ort/tensors.h"
#include "rrelu.h"
#include "schema.h"

namespace ort_rrelu {

// What a kernel is made from.
struct KernelContext {
  const OrtApi& api;
  const OrtKernelInfo* info;
  int dtype;
  std::optional<int64_t> session_seed;  // register(seed=)
};

class RReluKernel {
 public:
  using Op = schema::RRelu;
  explicit RReluKernel(const KernelContext& context);
  void Compute(OrtKernelContext* context);
  const OrtApi& api() const { return api_; }

 private:
  uint64_t Step(const Tensors& tensors);

  const OrtApi& api_;
  const std::string label_;
  ort_rrelu_params params_;
  std::atomic<uint64_t> runs_{0};
};

class RReluGradKernel {
 public:
  using Op = schema::RReluGrad;
  explicit RReluGradKernel(const KernelContext& context);
  void Compute(OrtKernelContext* context);
  const OrtApi& api() const { return api_; }

 private:
  const OrtApi& api_;
  const std::string label_;
  ort_rrelu_params params_;
};

}  // namespace ort_rrelu
