// Elements of the four types as vectors of the type in which they are multiplied: double for double, else
// float. Loads are exact, stores round once, to nearest even. Included once for every instruction set.
#include "cpu/half-inl.h"
#include "element.h"
#include "hwy/highway.h"

#if defined(ORT_RRELU_CPU_LANES_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef ORT_RRELU_CPU_LANES_INL_H_
#undef ORT_RRELU_CPU_LANES_INL_H_
#else
#define ORT_RRELU_CPU_LANES_INL_H_
#endif

// For lambdas in a kernel: compiled for its instruction set, and never called.
#undef ORT_RRELU_LAMBDA
#if HWY_COMPILER_MSVC
#define ORT_RRELU_LAMBDA HWY_ATTR
#else
#define ORT_RRELU_LAMBDA HWY_ATTR __attribute__((always_inline))
#endif

HWY_BEFORE_NAMESPACE();
namespace ort_rrelu {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

using FloatTag = hn::CappedTag<float, 16>;  // slopes; the masks of four vectors fill 64 bits
using PatternTag = hn::RebindToUnsigned<FloatTag>;
using ShortTag = hn::Rebind<uint16_t, FloatTag>;  // as many 16-bit types
template <class T>
using WideTag = hn::Repartition<Wide<T>, FloatTag>;
template <class T>
using WideVector = hn::Vec<WideTag<T>>;

template <class T>
HWY_INLINE WideVector<T> LoadWide(const T* from) {
  const WideTag<T> d;
  if constexpr (std::is_same_v<T, Wide<T>>) {
    return hn::LoadU(d, from);
  } else {
    const auto pattern = hn::LoadU(ShortTag(), reinterpret_cast<const uint16_t*>(from));
    if constexpr (std::is_same_v<T, Half>) return FloatOfHalf(d, pattern);
    return hn::BitCast(d, hn::ShiftLeft<16>(hn::PromoteTo(PatternTag(), pattern)));
  }
}

// The upper half is the nearest bfloat16. By integers everywhere: x86's own conversion flushes subnormals. A
// NaN stays one: those that come from bfloat16 or from arithmetic have no bit set that the sum could carry
// from.
HWY_INLINE hn::Vec<PatternTag> NearestBFloat16(hn::Vec<FloatTag> value) {
  const PatternTag d;
  const auto pattern = hn::BitCast(d, value);
  const auto odd = hn::And(hn::ShiftRight<16>(pattern), hn::Set(d, 1u));
  return hn::Add(pattern, hn::Add(odd, hn::Set(d, 0x7FFFu)));
}

HWY_INLINE void StoreUpperHalves(hn::Vec<PatternTag> patterns, BFloat16* to) {
  const auto upper = hn::TruncateTo(ShortTag(), hn::ShiftRight<16>(patterns));
  hn::StoreU(upper, ShortTag(), reinterpret_cast<uint16_t*>(to));
}

// The nearest values of T.
template <class T>
HWY_INLINE WideVector<T> RoundTo(WideVector<T> value) {
  if constexpr (std::is_same_v<T, Half>) {
    return FloatOfHalf(FloatTag(), HalfOfFloat(FloatTag(), value));
  } else if constexpr (std::is_same_v<T, BFloat16>) {
    const auto upper = hn::And(NearestBFloat16(value), hn::Set(PatternTag(), 0xFFFF0000u));
    return hn::BitCast(FloatTag(), upper);
  } else {
    return value;
  }
}

// Values that T holds exactly.
template <class T>
HWY_INLINE void StoreExact(WideVector<T> value, T* to) {
  if constexpr (std::is_same_v<T, Half>) {
    hn::StoreU(HalfOfFloat(FloatTag(), value), ShortTag(), reinterpret_cast<uint16_t*>(to));
  } else if constexpr (std::is_same_v<T, BFloat16>) {
    StoreUpperHalves(hn::BitCast(PatternTag(), value), to);
  } else {
    hn::StoreU(value, WideTag<T>(), to);
  }
}

template <class T>
HWY_INLINE void StoreRounded(WideVector<T> value, T* to) {
  if constexpr (std::is_same_v<T, BFloat16>) {
    StoreUpperHalves(NearestBFloat16(value), to);
  } else {
    StoreExact<T>(value, to);
  }
}

// A mask as bits, lane 0 lowest, and back.
template <class D>
HWY_INLINE uint64_t BitsOf(D d, hn::Mask<D> mask) {
  uint64_t bits = 0;
  hn::StoreMaskBits(d, mask, reinterpret_cast<uint8_t*>(&bits));
  return bits;
}

template <class D>
HWY_INLINE hn::Mask<D> MaskOf(D d, uint64_t bits) {
  return hn::LoadMaskBits(d, reinterpret_cast<const uint8_t*>(&bits));
}

}  // namespace HWY_NAMESPACE
}  // namespace ort_rrelu
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
