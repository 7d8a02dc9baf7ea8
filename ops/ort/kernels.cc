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
    call.params.step = Step(tensors);
    call.y = tensors.Output(0, x.shape);
    call.noise = tensors.Output(1, x.shape);
    call.reserve = tensors.Output(2, {static_cast<int64_t>(ReserveBytes(x.size))});
    if (call.reserve != nullptr) {
      WriteReserveHeader(call.reserve, MakeReserveHeader(call.params, call.size));
    }
    RunOn(tensors, call);
  }

 private:
  // A session that was made before a fork must not draw alike in all children.
  uint64_t Seed() const { return node_.fresh ? node_.params.seed ^ ProcessEntropy() : node_.params.seed; }

  // A node without `step` counts its own runs, each Compute once.
  uint64_t Step(const Tensors& tensors) {
    if (const void* step = StepInput(tensors)) {
      return static_cast<uint64_t>(*static_cast<const int64_t*>(step));
    }
    return node_.params.training ? runs_.fetch_add(1, std::memory_order_relaxed) : 0;
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
    const ort_rrelu_params params = ParamsOf(ReadReserveHeader(reserve.data), params_);
    void* dx = tensors.Output(0, dy.shape);
    RunOn(tensors,
          ReserveBackwardCall{params, dy.data, reserve.data, reserve.size, dx, dy.size, {0, dy.size}});
  }
};

}  // namespace

void AddCpuOps(std::vector<CustomOp>& ops, const OrtApi* api, int runtime, std::optional<int64_t> seed) {
  AddOps<RReluKernel, NoiseGradKernel, ReserveGradKernel>(ops, api, runtime, seed);
}

}  // namespace ort_rrelu
