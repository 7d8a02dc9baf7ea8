// The CPU kernels, one source that Highway compiles for every instruction set: what is
// done to a pair of vectors, and the three calls.
#include "cpu/kernels.h"

#include <algorithm>
#include <cstring>

#include "cpu/caches.h"
#include "cpu/denormals.h"

// Each of what follows foreach_target.h is compiled once for every target.
// clang-format off
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "cpu/kernels.cc"
#include "hwy/foreach_target.h"
#include "cpu/lanes-inl.h"
#include "cpu/rows-inl.h"
#include "cpu/stream-inl.h"
#include "cpu/units-inl.h"
#include "hwy/cache_control.h"
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace ort_rrelu {
namespace HWY_NAMESPACE {

// Elements whose bits fill whole bytes on every instruction set: two vectors of slopes.
HWY_INLINE size_t StrideSize() { return 2 * hn::Lanes(FloatTag()); }

HWY_INLINE void WriteBits(uint8_t* reserve, size_t i, uint64_t bits) {
  if (reserve != nullptr) std::memcpy(reserve + i / 8, &bits, StrideSize() / 8);
}

HWY_INLINE uint64_t ReadBits(const uint8_t* reserve, size_t i) {
  uint64_t bits = 0;
  std::memcpy(&bits, reserve + i / 8, StrideSize() / 8);
  return bits;
}

// Elements of a pair of vectors.
template <class T>
HWY_INLINE size_t PairSize() {
  return 2 * hn::Lanes(WideTag<T>());
}

// Y and noise of a pair. Returns which of its elements took the slope, the first lowest.
template <class T, Access kAccess = Access::kCaches>
HWY_INLINE uint64_t ForwardPair(const Arrays<T>& arrays, size_t i, WideVector<T> factor0,
                                WideVector<T> factor1, WideVector<T> saved0, WideVector<T> saved1) {
  const WideTag<T> d;
  const auto x = LoadPair<kAccess>(arrays.x + i);
  const auto x0 = hn::Get2<0>(x), x1 = hn::Get2<1>(x);
  const auto leaks0 = hn::Le(x0, hn::Zero(d)), leaks1 = hn::Le(x1, hn::Zero(d));
  StoreRounded<kAccess>(hn::MaskedMulOr(x0, leaks0, x0, factor0), hn::MaskedMulOr(x1, leaks1, x1, factor1),
                        arrays.y + i);
  if (arrays.noise != nullptr) {
    const auto one = hn::Set(d, Wide<T>{1});
    StoreExact(hn::IfThenElse(leaks0, saved0, one), hn::IfThenElse(leaks1, saved1, one), arrays.noise + i);
  }
  return arrays.reserve == nullptr ? 0 : BitsOfPair<T>(leaks0, leaks1);
}

// dX of a pair, of whose elements `bits` took the slope.
template <class T>
HWY_INLINE void BackwardPair(const Arrays<T>& arrays, size_t i, WideVector<T> factor0, WideVector<T> factor1,
                             uint64_t bits) {
  const auto dy = LoadPair(arrays.x + i);
  const auto dy0 = hn::Get2<0>(dy), dy1 = hn::Get2<1>(dy);
  WithMasks<T>(bits, [&](auto leaks0, auto leaks1) ORT_RRELU_LAMBDA {
    StoreRounded(hn::MaskedMulOr(dy0, leaks0, dy0, factor0), hn::MaskedMulOr(dy1, leaks1, dy1, factor1),
                 arrays.y + i);
  });
}

// f(j, factors of the pair of elements j, ...) for the pairs that two vectors of slopes make.
template <class T, class F>
HWY_INLINE void ForEachFactors(hn::Vec<FloatTag> slopes0, hn::Vec<FloatTag> slopes1, const F& f) {
  if constexpr (std::is_same_v<T, double>) {
    const WideTag<T> d;
    f(0, hn::PromoteLowerTo(d, slopes0), hn::PromoteUpperTo(d, slopes0));
    f(PairSize<T>(), hn::PromoteLowerTo(d, slopes1), hn::PromoteUpperTo(d, slopes1));
  } else {
    f(0, RoundTo<T>(slopes0), RoundTo<T>(slopes1));
  }
}

// kernel(arrays of a unit, i, slopes of its elements from i on) for [begin, end), two vectors at a time. Of
// one high block word.
template <class T, class Kernel>
HWY_INLINE void ForEachSlopesOf(const Stream& stream, const ort_rrelu_params& params, const Arrays<T>& arrays,
                                uint64_t begin, uint64_t end, const Kernel& kernel) {
  ForEachUnit(arrays, begin, end, [&](const Arrays<T>& unit, uint64_t first) ORT_RRELU_LAMBDA {
    stream.ForEachSlopes<T>(first / kBlock, params.lower, params.upper,
                            [&](size_t i, auto slopes0, auto slopes1)
                                ORT_RRELU_LAMBDA { kernel(unit, i, slopes0, slopes1); });
  });
}

// The same of one step.
template <class T, class Kernel>
void ForEachSlopes(const ort_rrelu_params& params, const Arrays<T>& arrays, uint64_t begin, uint64_t end,
                   const Kernel& kernel) {
  constexpr uint64_t kOneHighWord = uint64_t{kBlock} << 32;  // a stream has one high block word
  while (begin < end) {
    const uint64_t last = std::min(end, (begin / kOneHighWord + 1) * kOneHighWord);
    const Stream stream(params.seed, params.step, static_cast<uint32_t>(begin / kOneHighWord));
    ForEachSlopesOf(stream, params, arrays, begin, last, kernel);
    begin = last;
  }
}

// The same of half words that have been drawn; those of element `begin` come first.
template <class T, class Kernel>
void ForEachSlopesOf(const uint16_t* drawn, const ort_rrelu_params& params, const Arrays<T>& arrays,
                     uint64_t begin, uint64_t end, const Kernel& kernel) {
  const Stream::Slopes slopes{params.lower, params.upper - params.lower};
  ForEachUnit(arrays, begin, end, [&](const Arrays<T>& unit, uint64_t first) ORT_RRELU_LAMBDA {
    for (size_t i = 0; i < UnitSize(); i += StrideSize()) {
      const auto half_words = hn::LoadU(HalfWordTag(), drawn + (first - begin) + i);
      kernel(unit, i, slopes.template First<T>(half_words), slopes.template Second<T>(half_words));
    }
  });
}

// The same of rows with steps of their own.
template <class T, class Kernel>
void ForEachSlopesOf(const RowSteps& rows, const ort_rrelu_params& params, const Arrays<T>& arrays,
                     uint64_t begin, uint64_t end, const Kernel& kernel) {
  if (begin == end) return;
  RowWords words(params.seed, rows, begin, end);
  for (uint64_t size; begin < end; begin += size) {
    size = words.SizeOfOneStream();
    if (size > 0) {
      const uint64_t place = words.ElementOfRow();
      ForEachSlopesOf(words.OneStream(), params, From(arrays, begin - place), place, place + size, kernel);
      words.Skip(size);
    } else {
      const uint16_t* const drawn = words.Next(&size);
      ForEachSlopesOf(drawn, params, arrays, begin, begin + size, kernel);
    }
  }
}

template <class T>
auto TrainKernel() {
  return [](const Arrays<T>& unit, size_t i, auto slopes0, auto slopes1) ORT_RRELU_LAMBDA {
    uint64_t bits = 0;
    ForEachFactors<T>(slopes0, slopes1, [&](size_t j, auto factor0, auto factor1) ORT_RRELU_LAMBDA {
      bits |= ForwardPair<T>(unit, i + j, factor0, factor1, factor0, factor1) << j;
    });
    WriteBits(unit.reserve, i, bits);
  };
}

template <class T>
void Train(const ort_rrelu_params& params, const Arrays<T>& arrays, uint64_t begin, uint64_t end) {
  ForEachSlopes(params, arrays, begin, end, TrainKernel<T>());
}

template <class T>
auto TrainBackKernel() {
  return [](const Arrays<T>& unit, size_t i, auto slopes0, auto slopes1) ORT_RRELU_LAMBDA {
    const uint64_t bits = ReadBits(unit.saved_reserve, i);
    ForEachFactors<T>(slopes0, slopes1, [&](size_t j, auto factor0, auto factor1) ORT_RRELU_LAMBDA {
      BackwardPair<T>(unit, i + j, factor0, factor1, bits >> j);
    });
  };
}

template <class T>
void TrainBack(const ort_rrelu_params& params, const Arrays<T>& arrays, uint64_t begin, uint64_t end) {
  ForEachSlopes(params, arrays, begin, end, TrainBackKernel<T>());
}

template <class T>
WideVector<T> MeanFactor(const ort_rrelu_params& params) {
  return hn::Set(WideTag<T>(), static_cast<Wide<T>>(MeanSlope(params.lower, params.upper)));
}

template <class T>
void EvaluateUnits(const ort_rrelu_params& params, const Arrays<T>& arrays, uint64_t begin, uint64_t end) {
  ForEachUnit(arrays, begin, end, [&](const Arrays<T>& unit, uint64_t) ORT_RRELU_LAMBDA {
    const auto mean = MeanFactor<T>(params);
    const auto saved = RoundTo<T>(mean);
    for (size_t i = 0; i < UnitSize(); i += StrideSize()) {
      uint64_t bits = 0;
      for (size_t j = 0; j < StrideSize(); j += PairSize<T>())
        bits |= ForwardPair<T>(unit, i + j, mean, mean, saved, saved) << j;
      WriteBits(unit.reserve, i, bits);
    }
  });
}

// Y alone, past the caches: whole units of it from its first line on. Returns where they end, or `begin`
// where Y has no element at a line.
template <class T>
uint64_t EvaluateInMemory(const ort_rrelu_params& params, const Arrays<T>& arrays, Range range) {
  const uint64_t first = range.begin + ElementsToLine(arrays.y + range.begin);
  if (first >= range.end || !IsAtLine(arrays.y + first)) return range.begin;
  const uint64_t units = (range.end - first) / UnitSize();
  EvaluateUnits(params, arrays, range.begin, first);
  const Arrays<T> y_alone = {arrays.x, arrays.y};
  ForWholeUnits(From(y_alone, first), first, units, [&](const Arrays<T>& unit, uint64_t) ORT_RRELU_LAMBDA {
    const auto mean = MeanFactor<T>(params);
    for (size_t i = 0; i < UnitSize(); i += PairSize<T>())
      ForwardPair<T, Access::kMemory>(unit, i, mean, mean, mean, mean);
  });
  hwy::FlushStream();
  return first + units * UnitSize();
}

template <class T>
void Evaluate(const ForwardCall& call, Range range) {
  const Arrays<T> arrays = ArraysOf<T>(call);
  const uint64_t begin = GoesPastCaches(call) ? EvaluateInMemory(call.params, arrays, range) : range.begin;
  EvaluateUnits(call.params, arrays, begin, range.end);
}

template <class T>
void EvaluateBack(const ort_rrelu_params& params, const Arrays<T>& arrays, uint64_t begin, uint64_t end) {
  ForEachUnit(arrays, begin, end, [&](const Arrays<T>& unit, uint64_t) ORT_RRELU_LAMBDA {
    const auto mean = MeanFactor<T>(params);
    for (size_t i = 0; i < UnitSize(); i += StrideSize()) {
      const uint64_t bits = ReadBits(unit.saved_reserve, i);
      for (size_t j = 0; j < StrideSize(); j += PairSize<T>())
        BackwardPair<T>(unit, i + j, mean, mean, bits >> j);
    }
  });
}

template <class T>
void MultiplyByNoise(const Arrays<T>& arrays, uint64_t begin, uint64_t end) {
  ForEachUnit(arrays, begin, end, [&](const Arrays<T>& unit, uint64_t) ORT_RRELU_LAMBDA {
    for (size_t i = 0; i < UnitSize(); i += PairSize<T>()) {
      const auto dy = LoadPair(unit.x + i), noise = LoadPair(unit.saved_noise + i);
      StoreRounded(hn::Mul(hn::Get2<0>(dy), hn::Get2<0>(noise)), hn::Mul(hn::Get2<1>(dy), hn::Get2<1>(noise)),
                   unit.y + i);
    }
  });
}

void Forward(const ForwardCall& call, Range range) {
  WithElement(call.params.dtype, [&](auto element) {
    using T = decltype(element);
    if (call.params.training) return Train(call.params, ArraysOf<T>(call), range.begin, range.end);
    Evaluate<T>(call, range);
  });
}

void Backward(const BackwardCall& call, Range range) {
  WithElement(call.params.dtype, [&](auto element) {
    using T = decltype(element);
    MultiplyByNoise<T>(ArraysOf<T>(call), range.begin, range.end);
  });
}

void ReserveBackward(const ReserveBackwardCall& call, Range range) {
  WithElement(call.params.dtype, [&](auto element) {
    using T = decltype(element);
    const auto run = call.params.training ? TrainBack<T> : EvaluateBack<T>;
    run(call.params, ArraysOf<T>(call), range.begin, range.end);
  });
}

// In train mode, of rows with steps of their own.
void ForwardRows(const ForwardCall& call, Range range) {
  WithElement(call.params.dtype, [&](auto element) {
    using T = decltype(element);
    ForEachSlopesOf(RowStepsOf(call.params, call.size), call.params, ArraysOf<T>(call), range.begin,
                    range.end, TrainKernel<T>());
  });
}

void ReserveBackwardRows(const ReserveBackwardCall& call, Range range) {
  WithElement(call.params.dtype, [&](auto element) {
    using T = decltype(element);
    ForEachSlopesOf(RowStepsOf(call.params, call.size), call.params, ArraysOf<T>(call), range.begin,
                    range.end, TrainBackKernel<T>());
  });
}

int64_t Target() { return HWY_TARGET; }

}  // namespace HWY_NAMESPACE
}  // namespace ort_rrelu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ort_rrelu {

HWY_EXPORT(Forward);
HWY_EXPORT(Backward);
HWY_EXPORT(ReserveBackward);
HWY_EXPORT(ForwardRows);
HWY_EXPORT(ReserveBackwardRows);
HWY_EXPORT(Target);

// Chosen here, so that what one step runs is none the slower for rows.
static bool DrawsRows(const ort_rrelu_params& params) { return params.rows > 1 && params.training != 0; }

void Run(const ForwardCall& call, Range range) {
  const HonourDenormals honour;
  if (DrawsRows(call.params)) return HWY_DYNAMIC_DISPATCH(ForwardRows)(call, range);
  HWY_DYNAMIC_DISPATCH(Forward)(call, range);
}

void Run(const BackwardCall& call, Range range) {
  const HonourDenormals honour;
  HWY_DYNAMIC_DISPATCH(Backward)(call, range);
}

void Run(const ReserveBackwardCall& call, Range range) {
  const HonourDenormals honour;
  if (DrawsRows(call.params)) return HWY_DYNAMIC_DISPATCH(ReserveBackwardRows)(call, range);
  HWY_DYNAMIC_DISPATCH(ReserveBackward)(call, range);
}

std::string InstructionSet() { return hwy::TargetName(HWY_DYNAMIC_DISPATCH(Target)()); }

}  // namespace ort_rrelu
#endif  // HWY_ONCE
