// The ops on the CPU as ONNX Runtime sees them: state of a node, one Compute for each run. No arithmetic.
#include "cpu/kernels.h"

#include <atomic>
#include <cstdint>

#include "call.h"
#include "check.h"
#include "ort/custom_op.h"
#include "ort/node.h"
#include "ort/tensors.h"
#include "reserve.h"
#include "schema.h"
#include "seeds.h"

namespace ort_rrelu {
namespace {

constexpr const char* kCpuProvider = "CPUExecutionProvider";

template <class Call>
void RunOn(const Tensors& tensors, Call call) {
  const auto work = [](void* data, size_t index) {
    const Call& call = *static_cast<const Call*>(data);
    Run(call, call.range.Chunk(index));
  };
  tensors.ParallelFor(call.range.Chunks(), work, &call);
}

class RReluKernel {
 public:
  using Op = schema::RRelu;
  static constexpr const char* kProvider = kCpuProvider;

  explicit RReluKernel(const Node& node) : node_(node.ReadRRelu()) {}

  void Compute(const Tensors& tensors) {
    const Tensor x = tensors.Input(0);
    ForwardCall call{node_.params, x.data, nullptr, nullptr, nullptr, x.size, {0, x.size}};
    call.params.seed = Seed();
    SetSteps(StepInput(tensors, x), call.params);
    call.y = tensors.Output(0, x.shape);
    call.noise = tensors.Output(1, x.shape);
    call.reserve = tensors.Output(2, {static_cast<int64_t>(ReserveBytes(x.size, call.params.rows))});
    if (call.reserve != nullptr) WriteReserveStart(call);
    RunOn(tensors, call);
  }

 private:
  // A session that was made before a fork must not draw alike in all children.
  uint64_t Seed() const { return node_.fresh ? node_.params.seed ^ ProcessEntropy() : node_.params.seed; }

  // A node without `step` counts its own runs, each Compute once.
  void SetSteps(const Steps& input, ort_rrelu_params& params) {
    if (!input.given) {
      params.step = params.training ? runs_.fetch_add(1, std::memory_order_relaxed) : 0;
    } else if (input.count == 1) {
      params.step = ReadStep(input.data, 0);
    } else {
      params.steps = input.data;
      params.rows = input.count;
    }
  }

  const RReluParams node_;
  std::atomic<uint64_t> runs_{0};
};

// RReluGrad has two kernels for each T, by the type of `saved`.
class RReluGradKernel {
 public:
  using Op = schema::RReluGrad;
  static constexpr const char* kProvider = kCpuProvider;

  explicit RReluGradKernel(const Node& node) : params_{} {
    params_.struct_size = sizeof params_;
    params_.dtype = node.dtype();
  }

 protected:
  ort_rrelu_params params_;
};

class NoiseGradKernel : public RReluGradKernel {
 public:
  using RReluGradKernel::RReluGradKernel;

  void Compute(const Tensors& tensors) {
    const Tensor dy = tensors.Input(0);
    const Tensor noise = tensors.Input(1);
    CheckNoiseShape(dy, noise);
    RunOn(tensors, BackwardCall{params_, dy.data, noise.data, tensors.Output(0, dy.shape), {0, dy.size}});
  }
};

class ReserveGradKernel : public RReluGradKernel {
 public:
  using RReluGradKernel::RReluGradKernel;

  void Compute(const Tensors& tensors) {
    const Tensor dy = tensors.Input(0);
    const Tensor reserve = tensors.Input(1);
    CheckReserveShape(reserve);
    CheckReserve(reserve.data, reserve.size, params_.dtype, dy.size);
    void* dx = tensors.Output(0, dy.shape);
    ReserveBackwardCall call{params_, dy.data, reserve.data, reserve.size, dx, dy.size, {0, dy.size}};
    ReadReserveStart(call);
    RunOn(tensors, call);
  }
};

}  // namespace

void AddCpuDraws(std::vector<CustomOp>& ops, const OrtApi* api, int runtime, std::optional<int64_t> seed) {
  AddDraws<RReluKernel>(ops, api, runtime, seed);
}

void AddCpuGradients(std::vector<CustomOp>& ops, const OrtApi* api, int runtime) {
  AddGradients<NoiseGradKernel, ReserveGradKernel>(ops, api, runtime);
}

}  // namespace ort_rrelu
