// A node's attributes as ONNX Runtime's getters give them, and the parameters that follow from them.
#include "ort/node.h"

#include "check.h"
#include "ort/runtime.h"
#include "seeds.h"

namespace ort_rrelu {
std::string Node::FirstOutput() const {
  return ReadString(
      [&](char* text, size_t* size) { return api_.KernelInfo_GetOutputName(info_, 0, text, size); });
}

std::string Node::Label() const {
  const std::string name =
      ReadString([&](char* text, size_t* size) { return api_.KernelInfo_GetNodeName(info_, text, size); });
  const std::string op = std::string(schema::kDomain) + ":" + op_;
  return op + (name.empty() ? " node with output \"" + FirstOutput() : " node \"" + name) + "\"";
}

bool Node::Has(OrtStatus* status) const {
  if (status == nullptr) return true;
  api_.ReleaseStatus(status);
  return false;
}

// ONNX Runtime's getters give the same error for "absent" and "of another type", so ask for every type
// before the default is taken. The getters of lists succeed, with an empty list, on any other type.
void Node::RefuseOtherTypes(const char* name, const char* wanted) const {
  const auto refuse = [&](const char* type) {
    Refuse("attribute " + std::string(name) + " is of type " + type + ": it must be " + wanted);
  };
  size_t size = 0;
  float real = 0;
  int64_t integer = 0;
  if (Has(api_.KernelInfoGetAttribute_float(info_, name, &real))) refuse("FLOAT");
  if (Has(api_.KernelInfoGetAttribute_int64(info_, name, &integer))) refuse("INT");
  if (Has(api_.KernelInfoGetAttribute_string(info_, name, nullptr, &size))) refuse("STRING");
  OrtAllocator* allocator = nullptr;
  Check(api_.GetAllocatorWithDefaultOptions(&allocator));
  OrtValue* tensor = nullptr;
  if (Has(api_.KernelInfoGetAttribute_tensor(info_, name, allocator, &tensor))) {
    api_.ReleaseValue(tensor);
    refuse("TENSOR");
  }
  const auto items = [&](auto getter) -> std::optional<size_t> {
    size_t count = 0;
    if (!Has(getter(info_, name, nullptr, &count))) return std::nullopt;
    return count;
  };
  const auto integers = items(api_.KernelInfoGetAttributeArray_int64);
  const auto reals = items(api_.KernelInfoGetAttributeArray_float);
  if (integers.value_or(0) > 0) refuse("INTS");
  if (reals.value_or(0) > 0) refuse("FLOATS");
  if (integers || reals) refuse("unknown");
}

float Node::Float(const char* name, float default_value) const {
  float value = 0;
  if (Has(api_.KernelInfoGetAttribute_float(info_, name, &value))) return value;
  int64_t integer = 0;
  if (Has(api_.KernelInfoGetAttribute_int64(info_, name, &integer))) {
    value = static_cast<float>(integer);
    // 2^63, to which the largest integers round, is none of them.
    if (value < 0x1p63f && static_cast<int64_t>(value) == integer) return value;
    Refuse(std::string(name) + "=" + std::to_string(integer) +
           " is an INT that a float cannot hold exactly: write it as FLOAT");
  }
  RefuseOtherTypes(name, "FLOAT");
  return default_value;
}

int64_t Node::Int(const char* name, int64_t default_value) const {
  int64_t value = 0;
  if (Has(api_.KernelInfoGetAttribute_int64(info_, name, &value))) return value;
  RefuseOtherTypes(name, "INT");
  return default_value;
}

std::optional<uint64_t> Node::GivenSeed() const {
  const int64_t seed = Int("seed", schema::RRelu::kDefaultSeed);
  if (seed >= 0) return static_cast<uint64_t>(seed);
  if (!session_seed_) return std::nullopt;
  return static_cast<uint64_t>(DeriveSeed(static_cast<uint64_t>(*session_seed_), Fnv1a(FirstOutput())));
}

RReluParams Node::ReadRRelu() const {
  using Op = schema::RRelu;
  ort_rrelu_params params{};
  params.struct_size = sizeof params;
  params.dtype = dtype();
  params.lower = Float("lower", Op::kDefaultLower);
  params.upper = Float("upper", Op::kDefaultUpper);
  const int64_t training = Int("training", Op::kDefaultTraining);
  if (training != static_cast<int32_t>(training)) {
    Refuse("training=" + std::to_string(training) + ": it must be 0 or 1");
  }
  params.training = static_cast<int32_t>(training);
  const std::optional<uint64_t> seed = GivenSeed();
  params.seed = seed ? *seed : SystemEntropy();
  CheckParams(params);
  return {params, !seed};
}

}  // namespace ort_rrelu
