// The 16-bit types on the CPU: Highway's, whose conversions round once, to nearest even.
#pragma once

#include "hwy/base.h"

namespace ort_rrelu {

using Half = hwy::float16_t;
using BFloat16 = hwy::bfloat16_t;

inline float ToWide(Half value) { return hwy::F32FromF16(value); }
inline float ToWide(BFloat16 value) { return hwy::F32FromBF16(value); }
inline Half RoundToHalf(float value) { return hwy::F16FromF32(value); }
inline BFloat16 RoundToBFloat16(float value) { return hwy::BF16FromF32(value); }

}  // namespace ort_rrelu
