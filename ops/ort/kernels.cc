#include "ort/kernels.h"

#include "check.h"
#include "cpu/kernels.h"
#include "cpu/parallel.h"
#include "ort/node.h"
#include "reserve.h"
#include "seeds.h"

namespace ort_rrelu {
namespace {

uint64_t NodeSeed(const KernelContext& context, const Node& node) {
  const int64_t seed = node.Int("seed", schema::RRelu::kDefaultSeed);
  if (seed >= 0) return static_cast<uint64_t>(seed);
  if (!context.session_seed) return SystemEntropy();
  return static_cast<uint64_t>(
      DeriveSeed(static_cast<uint64_t>(*context.session_seed), Fnv1a(node.FirstOutput())));
}

ort_rrelu_params ReadParams(const KernelContext& context, const Node& node) {
  using Op = schema::RRelu;
  ort_rrelu_params params{};
  params.struct_size = sizeof params;
  params.dtype = context.elements[schema::kT];
  params.lower = node.Float("lower", Op::kDefaultLower);
  params.upper = node.Float("upper", Op::kDefaultUpper);
  const int64_t training = node.Int("training", Op::kDefaultTraining);
  if (training != static_cast<int32_t>(training))
    node.Refuse("training=" + std::to_string(training) + ": it must be 0 or 1");
  params.training = static_cast<int32_t>(training);
  params.seed = NodeSeed(context, node);
  if (const std::string error = CheckParams(params); !error.empty()) node.Refuse(error);
  return params;
}

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
      params_(ReadParams(context, Node(context.api, context.info, Op::kName))) {}

// A node without `step` counts its own runs, each Compute once.
uint64_t RReluKernel::Step(const Tensors& tensors) {
  const OrtValue* value = tensors.OptionalInput(1);
  if (value == nullptr) return params_.training ? runs_.fetch_add(1, std::memory_order_relaxed) : 0;
  const Tensor step = tensors.Describe(value);
  if (step.size != 1) {
    throw InvalidArgument{label_ + ": input step has shape " + ShapeText(step.shape) + " (" +
                          std::to_string(step.size) + " elements): it must have exactly one element"};
  }
  return static_cast<uint64_t>(*static_cast<const int64_t*>(step.data));
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
  ForwardTask task{params_, x.data, nullptr, nullptr, nullptr};
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

void RReluGradKernel::Refuse(const std::string& message) const {
  throw InvalidArgument{label_ + ": " + message};
}

void NoiseGradKernel::Compute(OrtKernelContext* context) {
  const Tensors tensors(api_, context);
  const Tensor dy = tensors.Input(0);
  const Tensor noise = tensors.Input(1);
  if (dy.shape != noise.shape) {
    Refuse("dY has shape " + ShapeText(dy.shape) + " and noise " + ShapeText(noise.shape) +
           ": they must be the same");
  }
  RunOn(tensors, BackwardTask{params_, dy.data, noise.data, tensors.Output(0, dy.shape)}, dy.size);
}

void ReserveGradKernel::Compute(OrtKernelContext* context) {
  const Tensors tensors(api_, context);
  const Tensor dy = tensors.Input(0);
  const Tensor reserve = tensors.Input(1);
  if (reserve.shape.size() != 1) {
    Refuse("reserve has shape " + ShapeText(reserve.shape) + ": it must have one dimension");
  }
  const std::string error = CheckReserve(reserve.data, reserve.size, params_.dtype, dy.size);
  if (!error.empty()) Refuse(error);
  const ort_rrelu_params params = ParamsOf(ReadReserveHeader(reserve.data), params_);
  const uint8_t* bits = ReserveBits(static_cast<const void*>(reserve.data));
  RunOn(tensors, ReserveBackwardTask{params, dy.data, bits, tensors.Output(0, dy.shape)}, dy.size);
}

}  // namespace ort_rrelu
