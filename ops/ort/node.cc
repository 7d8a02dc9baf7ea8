#include "ort/node.h"

#include <optional>

#include "ort/status.h"
#include "schema.h"

namespace ort_rrelu {
namespace {

// The two-call protocol of ONNX Runtime's string getters: size with the final NUL, then the text.
template <class Getter>
std::string ReadString(Getter get) {
  size_t size = 0;
  Check(get(nullptr, &size));
  std::string text(size, '\0');
  Check(get(text.data(), &size));
  text.resize(size > 0 ? size - 1 : 0);
  return text;
}

}  // namespace

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

void Node::Refuse(const std::string& message) const { throw InvalidArgument{Label() + ": " + message}; }

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

}  // namespace ort_rrelu
