// The random stream: Philox -> random words -> u -> slope, one definition for every dtype, host and device.
//
// Philox4x32-10 is Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3". Known answers:
// tests/known_answers.txt.
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

#include <cstdint>

#if defined(__FAST_MATH__)
#error "ort_rrelu promises the same bits everywhere: compile without -ffast-math"
#endif

// Functions for host and device.
#if defined(__CUDACC__)
#define ORT_RRELU_HD __host__ __device__ __forceinline__
#else
#define ORT_RRELU_HD inline
#endif

namespace ort_rrelu {

struct Words4 {
  uint32_t word[4];
};

struct PhiloxKey {
  uint32_t word[2];
};

ORT_RRELU_HD PhiloxKey MakeKey(uint64_t key) {
  return {{static_cast<uint32_t>(key), static_cast<uint32_t>(key >> 32)}};
}

inline constexpr int kPhiloxRounds = 10;
inline constexpr uint32_t kPhiloxMultiplier[2] = {0xD2511F53u, 0xCD9E8D57u};
inline constexpr uint32_t kPhiloxWeyl[2] = {0x9E3779B9u, 0xBB67AE85u};

ORT_RRELU_HD Words4 Philox4x32(Words4 counter, PhiloxKey key) {
  // Values: device code has no address of a host's array.
  constexpr uint32_t weyl0 = kPhiloxWeyl[0], weyl1 = kPhiloxWeyl[1];
  for (int round = 0; round < kPhiloxRounds; ++round) {
    const uint64_t p0 = static_cast<uint64_t>(counter.word[0]) * kPhiloxMultiplier[0];
    const uint64_t p1 = static_cast<uint64_t>(counter.word[2]) * kPhiloxMultiplier[1];
    counter = {{static_cast<uint32_t>(p1 >> 32) ^ counter.word[1] ^ key.word[0], static_cast<uint32_t>(p1),
                static_cast<uint32_t>(p0 >> 32) ^ counter.word[3] ^ key.word[1], static_cast<uint32_t>(p0)}};
    key.word[0] += weyl0;
    key.word[1] += weyl1;
  }
  return counter;
}

inline constexpr int kBlock = 8;  // elements served by one Philox call

// The midpoint of cell `half_word` of 65,536, exact in either way.
#if defined(__CUDA_ARCH__)
ORT_RRELU_HD float Multiply(float a, float b) { return __fmul_rn(a, b); }
ORT_RRELU_HD float Add(float a, float b) { return __fadd_rn(a, b); }
// Conversions are slow: these bits are 2^23 + half_word.
ORT_RRELU_HD float Midpoint(uint32_t half_word) {
  return __fmaf_rn(__uint_as_float(0x4B000000u | half_word), 0x1p-16f, 0x1p-17f - 128.0f);
}
#else
// Separate roundings: the library is compiled with -ffp-contract=off (/fp:precise on MSVC).
ORT_RRELU_HD float Multiply(float a, float b) { return a * b; }
ORT_RRELU_HD float Add(float a, float b) { return a + b; }
ORT_RRELU_HD float Midpoint(uint32_t half_word) { return static_cast<float>(2 * half_word + 1) * 0x1p-17f; }
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
  return Add(lower, Multiply(Midpoint(half_word), span));
}

// The slope of eval mode, in double; the caller rounds it to float unless T is double.
ORT_RRELU_HD double MeanSlope(float lower, float upper) {
  return (static_cast<double>(lower) + static_cast<double>(upper)) / 2;
}

}  // namespace ort_rrelu
