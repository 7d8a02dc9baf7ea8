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
using ShortTag = hn::Rebind<uint16_t, FloatTag>;          // as many 16-bit types
using HalfWordTag = hn::Repartition<uint16_t, FloatTag>;  // twice as many
template <class T>
using WideTag = hn::Repartition<Wide<T>, FloatTag>;
template <class T>
using WideVector = hn::Vec<WideTag<T>>;

// The order in which two vectors hold elements that follow each other: those at even places and those at odd
// ones, or the first half and the second. A bfloat16 is the upper half of a float: two at a time are what
// they are, and shifted.
template <class T>
inline constexpr bool kEvenOdd = std::is_same_v<T, BFloat16>;

template <class T>
using WidePair = hn::Vec2<WideTag<T>>;
template <class T>
using WideMask = hn::Mask<WideTag<T>>;

// The bits of two vectors, those at odd places from the first.
HWY_INLINE hn::Vec<HalfWordTag> OddEvenHalves(hn::Vec<PatternTag> odd, hn::Vec<PatternTag> even) {
  return hn::OddEven(hn::BitCast(HalfWordTag(), odd), hn::BitCast(HalfWordTag(), even));
}

// What a kernel reads and writes lies in the caches, or in memory: then stores go past the caches, to
// multiples of a vector, and loads are of 128 bits, of which none is of two lines where arrays begin at
// multiples of 16 bytes.
enum class Access { kCaches, kMemory };

template <Access kAccess, class D>
HWY_INLINE hn::Vec<D> LoadFrom(D d, const hn::TFromD<D>* from) {
#if !HWY_HAVE_SCALABLE
  if constexpr (kAccess == Access::kMemory && HWY_MAX_LANES_D(D) * sizeof(hn::TFromD<D>) > 16) {
    const hn::Half<D> half;
    return hn::Combine(d, LoadFrom<kAccess>(half, from + hn::Lanes(half)), LoadFrom<kAccess>(half, from));
  }
#endif
  return hn::LoadU(d, from);
}

template <Access kAccess, class D>
HWY_INLINE void StoreTo(hn::TFromD<D>* to, D d, hn::Vec<D> value) {
  if constexpr (kAccess == Access::kMemory) {
    hn::Stream(value, d, to);
  } else {
    hn::StoreU(value, d, to);
  }
}

template <Access kAccess, class T>
HWY_INLINE WideVector<T> LoadWide(const T* from) {
  if constexpr (std::is_same_v<T, Half>) {
    const auto pattern = LoadFrom<kAccess>(ShortTag(), reinterpret_cast<const uint16_t*>(from));
    return FloatOfHalf(FloatTag(), pattern);
  } else {
    return LoadFrom<kAccess>(WideTag<T>(), from);
  }
}

template <Access kAccess = Access::kCaches, class T>
HWY_INLINE WidePair<T> LoadPair(const T* from) {
  const WideTag<T> d;
  if constexpr (kEvenOdd<T>) {
    const PatternTag bits;
    const auto halves = LoadFrom<kAccess>(HalfWordTag(), reinterpret_cast<const uint16_t*>(from));
    const auto pattern = hn::BitCast(bits, halves);
    return hn::Create2(d, hn::BitCast(d, hn::ShiftLeft<16>(pattern)),
                       hn::BitCast(d, hn::And(pattern, hn::Set(bits, 0xFFFF0000u))));
  } else {
    return hn::Create2(d, LoadWide<kAccess>(from), LoadWide<kAccess>(from + hn::Lanes(d)));
  }
}

// The nearest values of T. bfloat16 by integers everywhere: x86's own conversion flushes subnormals. A NaN
// stays one: those that come from bfloat16 or from arithmetic have no bit set that the sum could carry from.
template <class T>
HWY_INLINE WideVector<T> RoundTo(WideVector<T> value) {
  if constexpr (std::is_same_v<T, Half>) {
    return FloatOfHalf(FloatTag(), HalfOfFloat(FloatTag(), value));
  } else if constexpr (std::is_same_v<T, BFloat16>) {
    const PatternTag d;
    const auto pattern = hn::BitCast(d, value);
    const auto odd = hn::And(hn::ShiftRight<16>(pattern), hn::Set(d, 1u));
    const auto nearest = hn::Add(pattern, hn::Add(odd, hn::Set(d, 0x7FFFu)));
    return hn::BitCast(FloatTag(), hn::And(nearest, hn::Set(d, 0xFFFF0000u)));
  } else {
    return value;
  }
}

// Values that T holds exactly.
template <Access kAccess = Access::kCaches, class T>
HWY_INLINE void StoreExact(WideVector<T> first, WideVector<T> second, T* to) {
  if constexpr (kEvenOdd<T>) {
    const PatternTag bits;
    const auto even = hn::ShiftRight<16>(hn::BitCast(bits, first));
    const auto both = OddEvenHalves(hn::BitCast(bits, second), even);
    StoreTo<kAccess>(reinterpret_cast<uint16_t*>(to), HalfWordTag(), both);
  } else if constexpr (std::is_same_v<T, Half>) {
    uint16_t* const halves = reinterpret_cast<uint16_t*>(to);
    const auto lower = HalfOfFloat(FloatTag(), first), upper = HalfOfFloat(FloatTag(), second);
    if constexpr (kAccess == Access::kMemory) {
      StoreTo<kAccess>(halves, HalfWordTag(), hn::Combine(HalfWordTag(), upper, lower));
    } else {
      StoreTo<kAccess>(halves, ShortTag(), lower);
      StoreTo<kAccess>(halves + hn::Lanes(ShortTag()), ShortTag(), upper);
    }
  } else {
    StoreTo<kAccess>(to, WideTag<T>(), first);
    StoreTo<kAccess>(to + hn::Lanes(WideTag<T>()), WideTag<T>(), second);
  }
}

// Two bfloat16 are rounded at once, as RoundTo() would: up where the lower half is more than 0x8000, or is
// that and the upper half is odd.
template <Access kAccess = Access::kCaches, class T>
HWY_INLINE void StoreRounded(WideVector<T> first, WideVector<T> second, T* to) {
  if constexpr (kEvenOdd<T>) {
#if HWY_TARGET_IS_SVE
    // Highway's AverageRound overflows on SVE, vectors of a known size among them.
    StoreExact<kAccess>(RoundTo<T>(first), RoundTo<T>(second), to);
#else
    const PatternTag bits;
    const HalfWordTag d;
    const auto even = hn::BitCast(bits, first), odd = hn::BitCast(bits, second);
    const auto upper = OddEvenHalves(odd, hn::ShiftRight<16>(even));
    const auto lower = OddEvenHalves(hn::ShiftLeft<16>(odd), even);
    const auto rest = hn::Or(lower, hn::And(upper, hn::Set(d, uint16_t{1})));
    // The upper bit of (rest + 0x7FFE + 1) / 2.
    const auto up = hn::ShiftRight<15>(hn::AverageRound(rest, hn::Set(d, uint16_t{0x7FFE})));
    StoreTo<kAccess>(reinterpret_cast<uint16_t*>(to), d, hn::Add(upper, up));
#endif
  } else {
    StoreExact<kAccess>(first, second, to);
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

// The masks of a pair as bits in the order of elements, and back.
template <class T>
HWY_INLINE uint64_t BitsOfPair(WideMask<T> first, WideMask<T> second) {
  const WideTag<T> d;
  if constexpr (kEvenOdd<T>) {
    const PatternTag bits;
    const auto even = hn::VecFromMask(bits, hn::RebindMask(bits, first));
    const auto odd = hn::VecFromMask(bits, hn::RebindMask(bits, second));
    return BitsOf(HalfWordTag(), hn::MaskFromVec(OddEvenHalves(odd, even)));
  } else {
    return BitsOf(d, first) | BitsOf(d, second) << hn::Lanes(d);
  }
}

// f(the first mask, the second one)
template <class T, class F>
HWY_INLINE void WithMasks(uint64_t bits, const F& f) {
  const WideTag<T> d;
  if constexpr (kEvenOdd<T>) {
    const PatternTag pattern;
    const auto set = hn::BitCast(pattern, hn::VecFromMask(HalfWordTag(), MaskOf(HalfWordTag(), bits)));
    f(hn::RebindMask(d, hn::TestBit(set, hn::Set(pattern, 1u))),
      hn::RebindMask(d, hn::TestBit(set, hn::Set(pattern, 0x10000u))));
  } else {
    f(MaskOf(d, bits), MaskOf(d, bits >> hn::Lanes(d)));
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace ort_rrelu
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
