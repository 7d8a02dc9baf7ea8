// The C API's way to say what went wrong.
#pragma once

#include <cstddef>
#include <cstdio>
#include <string>

namespace ort_rrelu {

inline int Report(const std::string& error, char* message, size_t capacity) {
  if (error.empty()) return 0;
  if (message != nullptr && capacity > 0) std::snprintf(message, capacity, "%s", error.c_str());
  return 1;
}

}  // namespace ort_rrelu
