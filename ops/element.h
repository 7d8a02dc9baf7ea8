// The four element types: names, and conversions that round once, to nearest even.
#pragma once

#include <cstdint>
#include <type_traits>

#include "philox.h"
#include "rrelu.h"

#if defined(__CUDACC__)
#include "cuda/half.h"
#else
#include "cpu/half.h"
#endif

namespace ort_rrelu {

// The type in which T is multiplied: double for double, else float.
template <class T>
using Wide = std::conditional_t<std::is_same_v<T, double>, double, float>;

ORT_RRELU_HD float ToWide(float value) { return value; }
ORT_RRELU_HD double ToWide(double value) { return value; }

template <class T>
ORT_RRELU_HD T FromWide(Wide<T> value) {
  if constexpr (std::is_same_v<T, Half>) {
    return RoundToHalf(value);
  } else if constexpr (std::is_same_v<T, BFloat16>) {
    return RoundToBFloat16(value);
  } else {
    return value;
  }
}

template <class T>
ORT_RRELU_HD T FromFloat(float value) {
  return FromWide<T>(static_cast<Wide<T>>(value));
}

// The name of an element type, or nullptr for one that the operator does not have.
inline const char* DtypeName(int32_t dtype) {
  switch (dtype) {
    case ORT_RRELU_FLOAT:
      return "float";
    case ORT_RRELU_DOUBLE:
      return "double";
    case ORT_RRELU_FLOAT16:
      return "float16";
    case ORT_RRELU_BFLOAT16:
      return "bfloat16";
    default:
      return nullptr;
  }
}

// Calls f with a value of the element type; dtype has passed CheckDtype.
template <class F>
auto WithElement(int32_t dtype, F f) {
  switch (dtype) {
    case ORT_RRELU_DOUBLE:
      return f(double{});
    case ORT_RRELU_FLOAT16:
      return f(Half{});
    case ORT_RRELU_BFLOAT16:
      return f(BFloat16{});
    default:
      return f(float{});
  }
}

// Bytes of an element; dtype has passed CheckDtype.
inline uint64_t SizeOf(int32_t dtype) {
  return WithElement(dtype, [](auto element) { return static_cast<uint64_t>(sizeof(element)); });
}

}  // namespace ort_rrelu
