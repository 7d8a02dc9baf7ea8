// The 16-bit types in code that nvcc compiles: CUDA's, whose conversions round once, to nearest even.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include "philox.h"

namespace ort_rrelu {

using Half = __half;
using BFloat16 = __nv_bfloat16;

ORT_RRELU_HD float ToWide(Half value) { return __half2float(value); }
ORT_RRELU_HD float ToWide(BFloat16 value) { return __bfloat162float(value); }
ORT_RRELU_HD Half RoundToHalf(float value) { return __float2half_rn(value); }
ORT_RRELU_HD BFloat16 RoundToBFloat16(float value) { return __float2bfloat16_rn(value); }

}  // namespace ort_rrelu
