// 16-bit elements two to a word, where their slopes are drawn: a product of two rounds once, as the product
// in float does that is rounded afterwards. Device code alone.
#pragma once

#include <type_traits>

#include "cuda/piece.h"
#include "element.h"
#include "slope.h"

namespace ort_rrelu {

#if defined(__CUDA_ARCH__)

template <class T>
struct Pair {};

template <>
struct Pair<Half> {
  using Type = __half2;
  static __device__ __forceinline__ Type Round(float low, float high) { return __floats2half2_rn(low, high); }
};

template <>
struct Pair<BFloat16> {
  using Type = __nv_bfloat162;
  static __device__ __forceinline__ Type Round(float low, float high) {
    return __floats2bfloat162_rn(low, high);
  }
};

// Devices before 8.0 have no arithmetic of bfloat16. In eval mode the factor is a float that T does not hold.
template <Mode kMode, class T>
inline constexpr bool kInPairs =
    DrawsSlopes(kMode) && (std::is_same_v<T, Half> || (std::is_same_v<T, BFloat16> && __CUDA_ARCH__ >= 800));

template <class Two>
__device__ __forceinline__ uint32_t BitsOf(const Two& two) {
  uint32_t bits;
  memcpy(&bits, &two, sizeof bits);
  return bits;
}

template <class Two>
__device__ __forceinline__ Two TwoOf(uint32_t bits) {
  Two two;
  memcpy(&two, &bits, sizeof two);
  return two;
}

// Ones where the lower bytes have their highest bit set: byte 0 for the low half of the word, byte 1 for the
// high one.
__device__ __forceinline__ uint32_t HalvesBySign(uint32_t word) {
  uint32_t halves;
  asm("prmt.b32 %0, %1, 0, 0x9988;" : "=r"(halves) : "r"(word));
  return halves;
}

struct ScaledPairs {
  Load16 y, noise;
  uint32_t leaks;  // a bit for each element
};

// One load. bits: which elements take their slope, where the mode reads it.
template <Mode kMode, class T>
__device__ __forceinline__ ScaledPairs ScaleInPairs(const RunConstants<T>& run, const Piece<T>& piece,
                                                    const Words4& random, uint32_t bits) {
  using Two = typename Pair<T>::Type;
  Load16 x;
  memcpy(&x, &piece, sizeof x);
  const Two zero = Pair<T>::Round(0.0f, 0.0f);
  const uint32_t one = BitsOf(Pair<T>::Round(1.0f, 1.0f));
  const uint32_t spread = bits << 7 | bits << 14;  // see HalvesBySign: the even ones, and the odd ones
  ScaledPairs scaled;
  uint32_t leaks = 0;
  ORT_RRELU_UNROLL
  for (int p = 0; p < 4; ++p) {
    const Two slope = Pair<T>::Round(SlopeAt(random, 2 * p, run.lower, run.span),
                                     SlopeAt(random, 2 * p + 1, run.lower, run.span));
    const uint32_t mask =
        IsForward(kMode) ? __hle2_mask(TwoOf<Two>(x.word[p]), zero) : HalvesBySign(spread >> (2 * p));
    const uint32_t product = BitsOf(__hmul2_rn(TwoOf<Two>(x.word[p]), slope));
    scaled.y.word[p] = (product & mask) | (x.word[p] & ~mask);
    scaled.noise.word[p] = (BitsOf(slope) & mask) | (one & ~mask);
    leaks |= mask & (1u << (2 * p) | 1u << (17 + 2 * p));
  }
  scaled.leaks = (leaks | leaks >> 16) & 0xFFu;
  return scaled;
}

#endif

}  // namespace ort_rrelu
