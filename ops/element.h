// The four element types: names, and conversions that round once, to nearest even.
#pragma once

#include <cstdint>
#include <type_traits>

#include "rrelu.h"
#include "slope.h"

// The 16-bit types are CUDA's in code that nvcc compiles, else Highway's. Both round once, to nearest even.
#if defined(__CUDACC__)
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#else
#include "hwy/base.h"
#endif

namespace ort_rrelu {

#if defined(__CUDACC__)
using Half = __half;
using BFloat16 = __nv_bfloat16;

ORT_RRELU_HD float ToWide(Half value) { return __half2float(value); }
ORT_RRELU_HD float ToWide(BFloat16 value) { return __bfloat162float(value); }
ORT_RRELU_HD Half RoundToHalf(float value) { return __float2half_rn(value); }
ORT_RRELU_HD BFloat16 RoundToBFloat16(float value) { return __float2bfloat16_rn(value); }
#else
using Half = hwy::float16_t;
using BFloat16 = hwy::bfloat16_t;

inline float ToWide(Half value) { return hwy::F32FromF16(value); }
inline float ToWide(BFloat16 value) { return hwy::F32FromBF16(value); }
inline Half RoundToHalf(float value) { return hwy::F16FromF32(value); }
inline BFloat16 RoundToBFloat16(float value) { return hwy::BF16FromF32(value); }
#endif

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
