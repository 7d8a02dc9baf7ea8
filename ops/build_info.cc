// What this library is, as JSON for `ort-rrelu info`.
#include <exception>
#include <string>

#include "cpu/kernels.h"
#include "cuda/device.h"
#include "element.h"
#include "ort/runtime.h"
#include "rrelu.h"
#include "schema.h"

#if defined(__clang__)
#define ORT_RRELU_COMPILER "clang " __clang_version__
#elif defined(__GNUC__)
#define ORT_RRELU_COMPILER "gcc " __VERSION__
#else
#define ORT_RRELU_COMPILER "msvc"
#endif

namespace ort_rrelu {
namespace {

std::string Quoted(const std::string& text) { return "\"" + text + "\""; }

std::string Field(const char* name, const std::string& json) { return Quoted(name) + ": " + json; }

std::string Dtypes() {
  std::string list;
  for (const int dtype : schema::kElementTypes) {
    list += (list.empty() ? "" : ", ") + Quoted(DtypeName(dtype));
  }
  return "[" + list + "]";
}

std::string Kernels() {
  return "{" + Field("cpu", Dtypes()) + (cuda::IsBuilt() ? ", " + Field("cuda", Dtypes()) : "") + "}";
}

std::string BuildInfo() {
  return "{" + Field("version", Quoted(ORT_RRELU_VERSION)) + ", " +
         Field("abi", std::to_string(ORT_RRELU_ABI)) + ", " + Field("compiler", Quoted(ORT_RRELU_COMPILER)) +
         ", " + Field("instruction_set", Quoted(InstructionSet())) + ", " +
         Field("onnxruntime_headers", Quoted("1." + std::to_string(ORT_API_VERSION))) + ", " +
         Field("onnxruntime_oldest", Quoted("1." + std::to_string(kOldestRuntime))) + ", " +
         Field("cuda", cuda::Facts()) + ", " + Field("kernels", Kernels()) + "}";
}

}  // namespace
}  // namespace ort_rrelu

const char* ort_rrelu_build_info(void) {
  try {
    static const std::string info = ort_rrelu::BuildInfo();
    return info.c_str();
  } catch (const std::exception&) {
    return "{}";  // there was no memory for it
  }
}
