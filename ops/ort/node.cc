#include "ort/node.h"

#include <cmath>

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
// before the default is taken.
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
  if (Has(api_.KernelInfoGetAttributeArray_float(info_, name, nullptr, &size))) refuse("FLOATS");
  if (Has(api_.KernelInfoGetAttributeArray_int64(info_, name, nullptr, &size))) refuse("INTS");
  OrtAllocator* allocator = nullptr;
  Check(api_.GetAllocatorWithDefaultOptions(&allocator));
  OrtValue* tensor = nullptr;
  if (Has(api_.KernelInfoGetAttribute_tensor(info_, name, allocator, &tensor))) {
    api_.ReleaseValue(tensor);
    refuse("TENSOR");
  }
}

float Node::Float(const char* name, float default_value) const {
  float value = 0;
  if (Has(api_.KernelInfoGetAttribute_float(info_, name, &value))) return value;
  int64_t integer = 0;
  if (Has(api_.KernelInfoGetAttribute_int64(info_, name, &integer))) {
    value = static_cast<float>(integer);
    // Between float and double every int64 near 2^24 is exact, so the comparison cannot overflow.
    if (static_cast<double>(value) == static_cast<double>(integer) && std::fabs(value) <= 0x1p53f)
      return value;
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
