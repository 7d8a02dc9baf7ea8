// Elements of the four types as vectors of the type in which they are multiplied: double for double, else
// float. Loads are exact, stores round once, to nearest even. Included once for every instruction set.
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

// float16 <-> float, to nearest even. By the instruction where there is one; elsewhere by integers, because
// Highway 1.2.0's emulation takes infinity for 65536. After Fabian Giesen's float_to_half_fast3_rtne
// (https://gist.github.com/rygorous/2156668, public domain).
// D: float32 lanes.
template <class D>
using HalfBits = hn::Vec<hn::Rebind<uint16_t, D>>;

#if HWY_TARGET == HWY_SSE2 || HWY_TARGET == HWY_SSSE3 || HWY_TARGET == HWY_SSE4 || HWY_TARGET == HWY_WASM || \
    HWY_TARGET == HWY_WASM_EMU256

template <class D>
HWY_INLINE hn::Vec<D> FloatOfHalf(D d, HalfBits<D> half) {
  const hn::RebindToUnsigned<D> bits;
  const auto pattern = hn::PromoteTo(bits, half);
  const auto magnitude = hn::And(pattern, hn::Set(bits, 0x7FFFu));
  const auto shifted = hn::ShiftLeft<13>(magnitude);
  // Another exponent bias, subnormals included: the product is exact.
  const auto finite = hn::BitCast(bits, hn::Mul(hn::BitCast(d, shifted), hn::Set(d, 0x1p112f)));
  const auto not_finite = hn::Or(shifted, hn::Set(bits, 0x7F800000u));
  const auto value = hn::IfThenElse(hn::Gt(magnitude, hn::Set(bits, 0x7BFFu)), not_finite, finite);
  return hn::BitCast(d, hn::Or(value, hn::ShiftLeft<16>(hn::Xor(pattern, magnitude))));
}

template <class D>
HWY_INLINE HalfBits<D> HalfOfFloat(D d, hn::Vec<D> value) {
  const hn::RebindToUnsigned<D> bits;
  const auto pattern = hn::BitCast(bits, value);
  const auto magnitude = hn::And(pattern, hn::Set(bits, 0x7FFFFFFFu));
  const auto sign = hn::ShiftRight<16>(hn::Xor(pattern, magnitude));
  const auto odd = hn::And(hn::ShiftRight<13>(magnitude), hn::Set(bits, 1u));
  // Subtracts 112 from the exponent and adds almost half a unit: carries into the exponent are right.
  const auto normal = hn::ShiftRight<13>(hn::Add(hn::Add(magnitude, hn::Set(bits, 0xC8000FFFu)), odd));
  // The addition of 1/2, whose unit in the last place is the least float16, rounds subnormals.
  const auto half = hn::Set(d, 0.5f);
  const auto small =
      hn::Sub(hn::BitCast(bits, hn::Add(hn::BitCast(d, magnitude), half)), hn::BitCast(bits, half));
  const auto is_small = hn::Lt(magnitude, hn::Set(bits, 0x38800000u));  // 2^-14
  const auto is_huge = hn::Ge(magnitude, hn::Set(bits, 0x47800000u));   // 2^16
  const auto is_nan = hn::Gt(magnitude, hn::Set(bits, 0x7F800000u));
  const auto huge = hn::IfThenElse(is_nan, hn::Set(bits, 0x7E00u), hn::Set(bits, 0x7C00u));
  const auto finite = hn::IfThenElse(is_small, small, normal);
  return hn::TruncateTo(hn::Rebind<uint16_t, D>(), hn::Or(hn::IfThenElse(is_huge, huge, finite), sign));
}

#else

template <class D>
HWY_INLINE hn::Vec<D> FloatOfHalf(D d, HalfBits<D> half) {
  return hn::PromoteTo(d, hn::BitCast(hn::Rebind<hwy::float16_t, D>(), half));
}

template <class D>
HWY_INLINE HalfBits<D> HalfOfFloat(D, hn::Vec<D> value) {
  return hn::BitCast(hn::Rebind<uint16_t, D>(), hn::DemoteTo(hn::Rebind<hwy::float16_t, D>(), value));
}

#endif

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
