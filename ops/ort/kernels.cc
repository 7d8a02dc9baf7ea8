#include "ort/kernels.h"

#include "cpu/kernels.h"
#include "cpu/parallel.h"
#include "ort/node.h"
#include "ort/node_inputs.h"
#include "reserve.h"
#include "seeds.h"

namespace ort_rrelu {
namespace {

template <class Task>
void RunOn(const Tensors& tensors, const Task& task, uint64_t size) {
  struct Job {
    const Task& task;
    Range range;
  } job{task, {0, size}};
  const auto work = [](void* data, size_t index) {
    const Job& job = *static_cast<const Job*>(data);
    const Range chunk = job.range.Chunk(index);
    Run(job.task, chunk.begin, chunk.end);
  };
  tensors.ParallelFor(job.range.Chunks(), work, &job);
}

}  // namespace

RReluKernel::RReluKernel(const KernelContext& context)
    : api_(context.api),
      label_(Node(context.api, context.info, Op::kName).Label()),
      node_(ReadParams(context)) {}

// A session that was made before a fork must not draw alike in all children.
uint64_t RReluKernel::Seed() const {
  return node_.fresh ? node_.params.seed ^ ProcessEntropy() : node_.params.seed;
}

// A node without `step` counts its own runs, each Compute once.
uint64_t RReluKernel::Step(const Tensors& tensors) {
  if (const void* step = StepInput(tensors, label_)) {
    return static_cast<uint64_t>(*static_cast<const int64_t*>(step));
  }
  return node_.params.training ? runs_.fetch_add(1, std::memory_order_relaxed) : 0;
}

// The bits of the reserve, after its header, or nullptr when the node does not have that output.
uint8_t* RReluKernel::Reserve(const Tensors& tensors, const ort_rrelu_params& params, uint64_t size) {
  void* reserve = tensors.Output(2, {static_cast<int64_t>(ReserveBytes(size))});
  if (reserve != nullptr) WriteReserveHeader(reserve, MakeReserveHeader(params, size));
  return ReserveBits(reserve);
}

void RReluKernel::Compute(OrtKernelContext* context) {
  const Tensors tensors(api_, context);
  const Tensor x = tensors.Input(0);
  ForwardTask task{node_.params, x.data, nullptr, nullptr, nullptr};
  task.params.seed = Seed();
  task.params.step = Step(tensors);
  task.y = tensors.Output(0, x.shape);
  task.noise = tensors.Output(1, x.shape);
  task.reserve = Reserve(tensors, task.params, x.size);
  RunOn(tensors, task, x.size);
}

RReluGradKernel::RReluGradKernel(const KernelContext& context)
    : api_(context.api), label_(Node(context.api, context.info, Op::kName).Label()), params_{} {
  params_.struct_size = sizeof params_;
  params_.dtype = context.elements[schema::kT];
}

void NoiseGradKernel::Compute(OrtKernelContext* context) {
  const Tensors tensors(api_, context);
  const Tensor dy = tensors.Input(0);
  const Tensor noise = tensors.Input(1);
  CheckNoiseShape(dy, noise, label_);
  RunOn(tensors, BackwardTask{params_, dy.data, noise.data, tensors.Output(0, dy.shape)}, dy.size);
}

void ReserveGradKernel::Compute(OrtKernelContext* context) {
  const Tensors tensors(api_, context);
  const Tensor dy = tensors.Input(0);
  const Tensor reserve = tensors.Input(1);
  CheckReserveShape(reserve, label_);
  const std::string error = CheckReserve(reserve.data, reserve.size, params_.dtype, dy.size);
  if (!error.empty()) throw InvalidArgument{label_ + ": " + error};
  const ort_rrelu_params params = ParamsOf(ReadReserveHeader(reserve.data), params_);
  const uint8_t* bits = ReserveBits(static_cast<const void*>(reserve.data));
  RunOn(tensors, ReserveBackwardTask{params, dy.data, bits, tensors.Output(0, dy.shape)}, dy.size);
}

}  // namespace ort_rrelu
