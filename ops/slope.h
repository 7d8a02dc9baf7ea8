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

// Before a loop over arrays of a thread: registers have no index.
#if defined(__CUDA_ARCH__)
#define ORT_RRELU_UNROLL _Pragma("unroll")
#else
#define ORT_RRELU_UNROLL
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

struct Product {
  uint32_t low, high;
};

ORT_RRELU_HD Product MultiplyWide(uint32_t a, uint32_t b) {
#if defined(__CUDA_ARCH__)
  // Halves of 64 bits by name: shifts of them stay in the machine code.
  Product product;
  asm("{.reg .b64 wide; mul.wide.u32 wide, %2, %3; mov.b64 {%0, %1}, wide;}"
      : "=r"(product.low), "=r"(product.high)
      : "r"(a), "r"(b));
  return product;
#else
  const uint64_t product = static_cast<uint64_t>(a) * b;
  return {static_cast<uint32_t>(product), static_cast<uint32_t>(product >> 32)};
#endif
}

ORT_RRELU_HD Words4 Philox4x32(Words4 counter, PhiloxKey key) {
  // Values: device code has no address of a host's array.
  constexpr uint32_t weyl0 = kPhiloxWeyl[0], weyl1 = kPhiloxWeyl[1];
  constexpr uint32_t multiplier0 = kPhiloxMultiplier[0], multiplier1 = kPhiloxMultiplier[1];
  for (int round = 0; round < kPhiloxRounds; ++round) {
    const Product p0 = MultiplyWide(counter.word[0], multiplier0);
    const Product p1 = MultiplyWide(counter.word[2], multiplier1);
    counter = {
        {p1.high ^ counter.word[1] ^ key.word[0], p1.low, p0.high ^ counter.word[3] ^ key.word[1], p0.low}};
    key.word[0] += weyl0;
    key.word[1] += weyl1;
  }
  return counter;
}

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

ORT_RRELU_HD float Midpoint(uint32_t half_word) { return static_cast<float>(2 * half_word + 1) * 0x1p-17f; }

// Of the half word at place j.
ORT_RRELU_HD float MidpointAt(const Words4& words, int j) {
#if defined(__CUDA_ARCH__)
  // Conversions are slow there. 2^23 + half_word is put together from bytes; the sum is exact.
  const uint32_t large = __byte_perm(words.word[j / 2], 0x4B00u, j % 2 == 0 ? 0x5410u : 0x5432u);
  return __fmaf_rn(__uint_as_float(large), 0x1p-16f, 0x1p-17f - 128.0f);
#else
  return Midpoint(HalfWord(words, j));
#endif
}

// 2^-17 stays apart from span: folded into it the product differs for tiny spans.
ORT_RRELU_HD float SlopeFrom(float midpoint, float lower, float span) {
  return Add(lower, Multiply(midpoint, span));
}

ORT_RRELU_HD float Slope(uint32_t half_word, float lower, float span) {
  return SlopeFrom(Midpoint(half_word), lower, span);
}

ORT_RRELU_HD float SlopeAt(const Words4& words, int j, float lower, float span) {
  return SlopeFrom(MidpointAt(words, j), lower, span);
}

// The slope of eval mode, in double; the caller rounds it to float unless T is double.
ORT_RRELU_HD double MeanSlope(float lower, float upper) {
  return (static_cast<double>(lower) + static_cast<double>(upper)) / 2;
}

}  // namespace ort_rrelu
