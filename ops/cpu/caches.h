// What is written past the caches, in whole lines.
#pragma once

#include <cstdint>

#include "call.h"

namespace ort_rrelu {

// Is Y written past the caches? Where it is all that an eval-mode call writes, and cannot stay there until it
// is read. Train mode is slower so: it draws slopes while lines come.
bool GoesPastCaches(const ForwardCall& call);

inline constexpr uint64_t kLineBytes = 64;

inline bool IsAtLine(const void* address) { return reinterpret_cast<uintptr_t>(address) % kLineBytes == 0; }

// Whole elements before the next line.
template <class T>
uint64_t ElementsToLine(const T* array) {
  return (kLineBytes - reinterpret_cast<uintptr_t>(array) % kLineBytes) % kLineBytes / sizeof(T);
}

}  // namespace ort_rrelu
