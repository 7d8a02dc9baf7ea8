#include "cpu/kernels.h"

#include <algorithm>

#include "cpu/denormals.h"
#include "cpu/element.h"
#include "slope.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "cpu/kernels.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace ort_rrelu {
namespace HWY_NAMESPACE {

// Writes one element: noise is `slope` where x <= 0, else 1 (NaN included). 0 * slope keeps x's sign of 0.
template <class T>
HWY_INLINE void Store(T* y, T* noise, uint64_t i, T x, Wide<T> factor, T saved) {
  const Wide<T> wide = ToWide(x);
  const bool leaks = wide <= 0;
  y[i] = leaks ? FromWide<T>(wide * factor) : x;
  if (noise != nullptr) noise[i] = leaks ? saved : FromFloat<T>(1.0f);
}

// Before the pass that writes Y, which may be X.
template <class T>
void SaveSigns(const ForwardTask& task, uint64_t begin, uint64_t end) {
  const T* x = static_cast<const T*>(task.x);
  for (uint64_t first = begin; first < end; first += 8) {
    unsigned bits = 0;
    for (uint64_t i = first; i < std::min<uint64_t>(first + 8, end); ++i) {
      bits |= static_cast<unsigned>(ToWide(x[i]) <= 0) << (i - first);
    }
    task.reserve[first / 8] = static_cast<uint8_t>(bits);
  }
}

template <class T>
void Train(const ForwardTask& task, uint64_t begin, uint64_t end) {
  const ort_rrelu_params& params = task.params;
  const T* x = static_cast<const T*>(task.x);
  T* y = static_cast<T*>(task.y);
  T* noise = static_cast<T*>(task.noise);
  const float span = params.upper - params.lower;
  for (uint64_t first = begin; first < end; first += kBlock) {
    const Words4 words = RandomBlock(params.seed, params.step, first / kBlock);
    const uint64_t last = std::min<uint64_t>(first + kBlock, end);
    for (uint64_t i = first; i < last; ++i) {
      const uint32_t half_word = HalfWord(words, static_cast<int>(i - first));
      const T slope = FromFloat<T>(Slope(half_word, params.lower, span));
      Store(y, noise, i, x[i], ToWide(slope), slope);
    }
  }
}

template <class T>
void Evaluate(const ForwardTask& task, uint64_t begin, uint64_t end) {
  const T* x = static_cast<const T*>(task.x);
  T* y = static_cast<T*>(task.y);
  T* noise = static_cast<T*>(task.noise);
  const Wide<T> slope = static_cast<Wide<T>>(MeanSlope(task.params.lower, task.params.upper));
  const T saved = FromWide<T>(slope);
  for (uint64_t i = begin; i < end; ++i) Store(y, noise, i, x[i], slope, saved);
}

template <class T>
void MultiplyByNoise(const BackwardTask& task, uint64_t begin, uint64_t end) {
  const T* dy = static_cast<const T*>(task.dy);
  const T* noise = static_cast<const T*>(task.noise);
  T* dx = static_cast<T*>(task.dx);
  for (uint64_t i = begin; i < end; ++i) dx[i] = FromWide<T>(ToWide(dy[i]) * ToWide(noise[i]));
}

// The slope of eval mode is not rounded to T, as in the forward pass.
template <class T>
void MultiplyBySlopes(const ReserveBackwardTask& task, uint64_t begin, uint64_t end) {
  const ort_rrelu_params& params = task.params;
  const T* dy = static_cast<const T*>(task.dy);
  T* dx = static_cast<T*>(task.dx);
  const float span = params.upper - params.lower;
  const Wide<T> mean = static_cast<Wide<T>>(MeanSlope(params.lower, params.upper));
  for (uint64_t first = begin; first < end; first += kBlock) {
    const Words4 words = RandomBlock(params.seed, params.step, first / kBlock);
    const uint64_t last = std::min<uint64_t>(first + kBlock, end);
    for (uint64_t i = first; i < last; ++i) {
      const int j = static_cast<int>(i - first);
      const T slope = FromFloat<T>(Slope(HalfWord(words, j), params.lower, span));
      const Wide<T> factor = params.training ? ToWide(slope) : mean;
      const bool leaks = (task.reserve[i / 8] >> j & 1) != 0;
      dx[i] = leaks ? FromWide<T>(ToWide(dy[i]) * factor) : dy[i];
    }
  }
}

void Forward(const ForwardTask& task, uint64_t begin, uint64_t end) {
  WithElement(task.params.dtype, [&](auto element) {
    using T = decltype(element);
    if (task.reserve != nullptr) SaveSigns<T>(task, begin, end);
    task.params.training ? Train<T>(task, begin, end) : Evaluate<T>(task, begin, end);
  });
}

void Backward(const BackwardTask& task, uint64_t begin, uint64_t end) {
  WithElement(task.params.dtype, [&](auto element) { MultiplyByNoise<decltype(element)>(task, begin, end); });
}

void BackwardFromReserve(const ReserveBackwardTask& task, uint64_t begin, uint64_t end) {
  WithElement(task.params.dtype,
              [&](auto element) { MultiplyBySlopes<decltype(element)>(task, begin, end); });
}

int64_t Target() { return HWY_TARGET; }

}  // namespace HWY_NAMESPACE
}  // namespace ort_rrelu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ort_rrelu {

HWY_EXPORT(Forward);
HWY_EXPORT(Backward);
HWY_EXPORT(BackwardFromReserve);
HWY_EXPORT(Target);

void Run(const ForwardTask& task, uint64_t begin, uint64_t end) {
  const HonourDenormals honour;
  HWY_DYNAMIC_DISPATCH(Forward)(task, begin, end);
}

void Run(const BackwardTask& task, uint64_t begin, uint64_t end) {
  const HonourDenormals honour;
  HWY_DYNAMIC_DISPATCH(Backward)(task, begin, end);
}

void Run(const ReserveBackwardTask& task, uint64_t begin, uint64_t end) {
  const HonourDenormals honour;
  HWY_DYNAMIC_DISPATCH(BackwardFromReserve)(task, begin, end);
}

std::string InstructionSet() { return hwy::TargetName(HWY_DYNAMIC_DISPATCH(Target)()); }

}  // namespace ort_rrelu
#endif  // HWY_ONCE
