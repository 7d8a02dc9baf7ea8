#include "ort/node_inputs.h"

#include <optional>

#include "check.h"
#include "ort/node.h"
#include "seeds.h"

namespace ort_rrelu {
namespace {

std::optional<uint64_t> GivenSeed(const KernelContext& context, const Node& node) {
  const int64_t seed = node.Int("seed", schema::RRelu::kDefaultSeed);
  if (seed >= 0) return static_cast<uint64_t>(seed);
  if (!context.session_seed) return std::nullopt;
  return static_cast<uint64_t>(
      DeriveSeed(static_cast<uint64_t>(*context.session_seed), Fnv1a(node.FirstOutput())));
}

}  // namespace

NodeParams ReadParams(const KernelContext& context) {
  using Op = schema::RRelu;
  const Node node(context.api, context.info, Op::kName);
  ort_rrelu_params params{};
  params.struct_size = sizeof params;
  params.dtype = context.elements[schema::kT];
  params.lower = node.Float("lower", Op::kDefaultLower);
  params.upper = node.Float("upper", Op::kDefaultUpper);
  const int64_t training = node.Int("training", Op::kDefaultTraining);
  if (training != static_cast<int32_t>(training))
    node.Refuse("training=" + std::to_string(training) + ": it must be 0 or 1");
  params.training = static_cast<int32_t>(training);
  const std::optional<uint64_t> seed = GivenSeed(context, node);
  params.seed = seed ? *seed : SystemEntropy();
  if (const std::string error = CheckParams(params); !error.empty()) node.Refuse(error);
  return {params, !seed};
}

const void* StepInput(const Tensors& tensors, const std::string& label) {
  const OrtValue* value = tensors.OptionalInput(1);
  if (value == nullptr) return nullptr;
  const Tensor step = tensors.Describe(value);
  if (step.size == 1) return step.data;
  throw InvalidArgument{label + ": input step has shape " + ShapeText(step.shape) + " (" +
                        std::to_string(step.size) + " elements): it must have exactly one element"};
}

void CheckNoiseShape(const Tensor& dy, const Tensor& noise, const std::string& label) {
  if (dy.shape == noise.shape) return;
  throw InvalidArgument{label + ": dY has shape " + ShapeText(dy.shape) + " and noise " +
                        ShapeText(noise.shape) + ": they must be the same"};
}

void CheckReserveShape(const Tensor& reserve, const std::string& label) {
  if (reserve.shape.size() == 1) return;
  throw InvalidArgument{label + ": reserve has shape " + ShapeText(reserve.shape) +
                        ": it must have one dimension"};
}

}  // namespace ort_rrelu
