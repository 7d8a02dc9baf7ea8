// Elements to try a kernel on, and their equality to the last bit, a NaN being equal to any NaN.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

#include "element.h"

namespace ort_rrelu {

template <class T>
std::vector<T> Values(uint64_t size) {
  static const float special[] = {0.0f, -0.0f,     -1.0f,     1.0f,   -INFINITY, INFINITY,
                                  NAN,  -65504.0f, -1.25e-7f, 1e-40f, -1e-40f,   -3e38f};
  std::vector<T> values;
  for (uint64_t i = 0; i < size; ++i) {
    const float number = static_cast<float>(static_cast<int32_t>(i * 2654435761u)) * 0x1p-24f;
    values.push_back(FromFloat<T>(i % 5 == 0 ? special[(i / 5) % 12] : number));
  }
  return values;
}

template <class T>
bool SameBits(T a, T b) {
  if (std::isnan(ToWide(a)) || std::isnan(ToWide(b))) return std::isnan(ToWide(a)) && std::isnan(ToWide(b));
  return std::memcmp(&a, &b, sizeof a) == 0;
}

inline bool SameBits(uint8_t a, uint8_t b) { return a == b; }

}  // namespace ort_rrelu
