// Random words -> u -> slope, the same for every dtype and device.
//
// Element i takes 16 bits, h, of block i / 8: eight little-endian uint16 in element order.
// u = (2h + 1) * 2^-17 is fixed point: the midpoints of 65,536 equal cells, equispaced, open at both
// ends (never 0 or 1) and never 1/2.
//
// lower <= slope <= upper needs no clamp. With e = 2^-24, the rounding error of a float:
// span <= (upper - lower) * (1 + e) and fl(u * span) <= (1 - 2^-17) * span * (1 + e), so
// lower + fl(u * span) <= lower + (1 - 2^-17) * (1 + e)^2 * (upper - lower) < upper; rounding is monotone
// and upper is a float, so the rounded sum is at most upper. Where the product is subnormal the bound on
// its error is absolute, but then fl(u * span) <= span (monotone again), and a span this small is exact.
#pragma once

#include "philox.h"

#if defined(__FAST_MATH__)
#error "ort_rrelu promises the same bits everywhere: compile without -ffast-math"
#endif

namespace ort_rrelu {

inline constexpr int kBlock = 8;  // elements served by one Philox call

#if defined(__CUDA_ARCH__)
ORT_RRELU_HD float Multiply(float a, float b) { return __fmul_rn(a, b); }
ORT_RRELU_HD float Add(float a, float b) { return __fadd_rn(a, b); }
#else
// Separate roundings: the library is compiled with -ffp-contract=off (/fp:precise on MSVC).
ORT_RRELU_HD float Multiply(float a, float b) { return a * b; }
ORT_RRELU_HD float Add(float a, float b) { return a + b; }
#endif

ORT_RRELU_HD Words4 RandomBlock(uint64_t seed, uint64_t step, uint64_t block) {
  const Words4 counter = {{static_cast<uint32_t>(block), static_cast<uint32_t>(block >> 32),
                           static_cast<uint32_t>(step), static_cast<uint32_t>(step >> 32)}};
  return Philox4x32(counter, MakeKey(seed));
}

// j: the element's place in its block, 0..7.
ORT_RRELU_HD uint32_t HalfWord(const Words4& words, int j) {
  return (words.word[j / 2] >> (16 * (j % 2))) & 0xFFFFu;
}

// 2^-17 stays apart from span: folded into it the product differs for tiny spans.
ORT_RRELU_HD float Slope(uint32_t half_word, float lower, float span) {
  const float u = static_cast<float>(2 * half_word + 1) * 0x1p-17f;
  return Add(lower, Multiply(u, span));
}

// The slope of eval mode, in double; the caller rounds it to float unless T is double.
ORT_RRELU_HD double MeanSlope(float lower, float upper) {
  return (static_cast<double>(lower) + static_cast<double>(upper)) / 2;
}

}  // namespace ort_rrelu
