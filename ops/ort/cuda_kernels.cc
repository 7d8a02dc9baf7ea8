// The ops on CUDA as ONNX Runtime sees them. All memory is the device's, `step` and the count of runs
// included; the host queues work on the stream of the run and waits for nothing.
#include <cstdint>

#include "call.h"
#include "check.h"
#include "cuda/device.h"
#include "cuda/kernels.h"
#include "cuda/node_memory.h"
#include "error.h"
#include "ort/custom_op.h"
#include "ort/node.h"
#include "ort/tensors.h"
#include "reserve.h"
#include "schema.h"

namespace ort_rrelu {
namespace {

// Making a kernel fails where the driver cannot run it. Device code is loaded then: a first run may be
// captured.
class CudaKernel {
 public:
  static constexpr const char* kProvider = "CUDAExecutionProvider";

 protected:
  explicit CudaKernel(const Node& node) {
    cuda::CheckDriver();
    cuda::Load(node.dtype());
  }
};

class CudaRReluKernel : public CudaKernel {
 public:
  using Op = schema::RRelu;

  explicit CudaRReluKernel(const Node& node) : CudaKernel(node), params_(node.ReadRRelu().params) {}

  void Compute(const Tensors& tensors) {
    const Tensor x = tensors.Input(0);
    void* stream = tensors.Stream();
    ForwardCall call{params_, x.data, nullptr, nullptr, nullptr, x.size, {0, x.size}};
    const Steps steps = StepInput(tensors, x);
    if (steps.count > 1) {
      call.params.steps = steps.data;
      call.params.rows = steps.count;
    }
    call.y = tensors.Output(0, x.shape);
    call.noise = tensors.Output(1, x.shape);
    call.reserve = tensors.Output(2, {static_cast<int64_t>(ReserveBytes(x.size, call.params.rows))});
    const auto launch = [&](const cuda::Source& source) { cuda::Launch(call, source, stream); };
    if (!steps.given && params_.training) return runs_.Count(stream, launch);
    launch(SourceOf(steps));
  }

 private:
  // Of one step, or of no row: params have the steps of more.
  static cuda::Source SourceOf(const Steps& steps) {
    cuda::Source source;
    if (steps.count == 1) source.step = static_cast<const uint64_t*>(steps.data);
    return source;
  }

  const ort_rrelu_params params_;
  cuda::RunCounter runs_;
};

class CudaRReluGradKernel : public CudaKernel {
 public:
  using Op = schema::RReluGrad;

  explicit CudaRReluGradKernel(const Node& node) : CudaKernel(node), params_{} {
    params_.struct_size = sizeof params_;
    params_.dtype = node.dtype();
  }

 protected:
  ort_rrelu_params params_;
};

class CudaNoiseGradKernel : public CudaRReluGradKernel {
 public:
  using CudaRReluGradKernel::CudaRReluGradKernel;

  void Compute(const Tensors& tensors) {
    const Tensor dy = tensors.Input(0);
    const Tensor noise = tensors.Input(1);
    CheckNoiseShape(dy, noise);
    void* dx = tensors.Output(0, dy.shape);
    cuda::Launch(BackwardCall{params_, dy.data, noise.data, dx, {0, dy.size}}, tensors.Stream());
  }
};

// What the device finds wrong with a reserve fails the node's next run.
class CudaReserveGradKernel : public CudaRReluGradKernel {
 public:
  using CudaRReluGradKernel::CudaRReluGradKernel;

  void Compute(const Tensors& tensors) {
    const Tensor dy = tensors.Input(0);
    const Tensor reserve = tensors.Input(1);
    CheckReserveShape(reserve);
    WithPrefix("in an earlier run, whose dX is NaN, ", [&] { fault_.Check(); });
    CheckReserveBytes(reserve.size, dy.size);
    void* dx = tensors.Output(0, dy.shape);
    cuda::Launch(ReserveBackwardCall{params_, dy.data, reserve.data, reserve.size, dx, dy.size, {0, dy.size}},
                 fault_.on_device(), tensors.Stream());
  }

 private:
  cuda::Fault fault_;
};

}  // namespace

void AddCudaDraws(std::vector<CustomOp>& ops, const OrtApi* api, int runtime, std::optional<int64_t> seed) {
  AddDraws<CudaRReluKernel>(ops, api, runtime, seed);
}

void AddCudaGradients(std::vector<CustomOp>& ops, const OrtApi* api, int runtime) {
  AddGradients<CudaNoiseGradKernel, CudaReserveGradKernel>(ops, api, runtime);
}

}  // namespace ort_rrelu
