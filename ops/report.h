// The C API's way to say what went wrong.
#pragma once

#include <cstddef>
#include <cstdio>
#include <string>

namespace ort_rrelu {

inline constexpr int kRefused = 1;  // an argument
inline constexpr int kFailed = 2;   // the machine, or this build

inline int Report(const std::string& error, char* message, size_t capacity, int code = kRefused) {
  if (error.empty()) return 0;
  if (message != nullptr && capacity > 0) std::snprintf(message, capacity, "%s", error.c_str());
  return code;
}

}  // namespace ort_rrelu
