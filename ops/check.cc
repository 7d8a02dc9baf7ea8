#include "check.h"

#include <cmath>
#include <cstdio>

#include "element.h"

namespace ort_rrelu {
namespace {

std::string Text(float value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.9g", static_cast<double>(value));
  return text;
}

float InDtype(int32_t dtype, float value) {
  return WithElement(dtype, [value](auto element) {
    using T = decltype(element);
    return static_cast<float>(ToWide(FromFloat<T>(value)));
  });
}

std::string CheckFinite(const std::string& argument, float value, int32_t dtype) {
  if (!std::isfinite(value)) return argument + " is not a finite float";
  if (std::isfinite(InDtype(dtype, value))) return "";
  return argument + " is not finite in " + DtypeName(dtype);
}

}  // namespace

std::string CheckDtype(int32_t dtype) {
  if (DtypeName(dtype) != nullptr) return "";
  return "dtype=" + std::to_string(dtype) +
         " is not supported: it must be float (1), float16 (10), double (11) or bfloat16 (16)";
}

std::string CheckParams(const ort_rrelu_params& params) {
  const std::string lower = "lower=" + Text(params.lower);
  const std::string upper = "upper=" + Text(params.upper);
  if (std::string error = CheckDtype(params.dtype); !error.empty()) return error;
  if (params.training != 0 && params.training != 1) {
    return "training=" + std::to_string(params.training) + ": it must be 0 or 1";
  }
  if (std::string error = CheckFinite(lower, params.lower, params.dtype); !error.empty()) return error;
  if (std::string error = CheckFinite(upper, params.upper, params.dtype); !error.empty()) return error;
  if (params.lower > params.upper) {
    return lower + " is greater than " + upper + ": lower must not exceed upper";
  }
  return CheckFinite(
      "upper - lower = " + Text(params.upper - params.lower) + " (" + lower + ", " + upper + ")",
      params.upper - params.lower, params.dtype);
}

}  // namespace ort_rrelu
