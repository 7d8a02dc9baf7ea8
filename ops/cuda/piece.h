// What the device kernels do to an element, and to the elements of one 16-byte load.
#pragma once

#include <cstring>

#include "cuda/rows.h"
#include "element.h"
#include "slope.h"

namespace ort_rrelu {

enum class Mode { kTrain, kEvaluate, kTrainBack, kEvaluateBack, kMultiply };

ORT_RRELU_HD constexpr bool DrawsSlopes(Mode mode) {
  return mode == Mode::kTrain || mode == Mode::kTrainBack;
}
ORT_RRELU_HD constexpr bool ReadsBits(Mode mode) {
  return mode == Mode::kTrainBack || mode == Mode::kEvaluateBack;
}
ORT_RRELU_HD constexpr bool IsForward(Mode mode) { return mode == Mode::kTrain || mode == Mode::kEvaluate; }

// What all elements of a run share.
template <class T>
struct RunConstants {
  uint64_t seed, step;
  float lower, span;
  Wide<T> mean;
  RowLayout layout;
};

template <class T>
ORT_RRELU_HD RunConstants<T> MakeRunConstants(const ort_rrelu_params& params, const RowLayout& layout) {
  return {params.seed,
          params.step,
          params.lower,
          params.upper - params.lower,
          static_cast<Wide<T>>(MeanSlope(params.lower, params.upper)),
          layout};
}

template <class T>
inline constexpr int kPiece = 16 / sizeof(T);  // elements of a load

struct alignas(16) Load16 {
  uint32_t word[4];
};

template <class T>
struct Piece {
  T element[kPiece<T>];
};

template <class T>
ORT_RRELU_HD Piece<T> LoadPiece(const T* from) {
  const Load16 words = *reinterpret_cast<const Load16*>(from);
  Piece<T> piece;
  memcpy(&piece, &words, sizeof piece);
  return piece;
}

template <class T>
ORT_RRELU_HD void StoreWords(const Load16& words, T* to) {
#if defined(__CUDA_ARCH__)
  // Said outright: an assignment is split where the compiler knows some of the elements.
  __stwb(reinterpret_cast<uint4*>(to),
         make_uint4(words.word[0], words.word[1], words.word[2], words.word[3]));
#else
  *reinterpret_cast<Load16*>(to) = words;
#endif
}

template <class T>
ORT_RRELU_HD void StorePiece(const Piece<T>& piece, T* to) {
  Load16 words;
  memcpy(&words, &piece, sizeof words);
  StoreWords(words, to);
}

template <class T>
struct Factor {
  Wide<T> multiplied;
  T saved;
};

// words: what the stream has for the block, where the mode draws; j: the element's place.
template <Mode kMode, class T>
ORT_RRELU_HD Factor<T> FactorOf(const RunConstants<T>& run, const Words4& words, int j) {
  if constexpr (DrawsSlopes(kMode)) {
    const T slope = FromFloat<T>(SlopeAt(words, j, run.lower, run.span));
    return {ToWide(slope), slope};
  } else {
    return {run.mean, FromWide<T>(run.mean)};
  }
}

template <class T>
struct Scaled {
  T y, noise;
  bool leaks;
};

// leaks: does the element take the slope? Given where the mode reads it, else found.
template <Mode kMode, class T>
ORT_RRELU_HD Scaled<T> Scale(const RunConstants<T>& run, T x, const Words4& words, int j, bool leaks) {
  if constexpr (IsForward(kMode)) leaks = ToWide(x) <= 0;
  const Factor<T> factor = FactorOf<kMode, T>(run, words, j);
  const T scaled = FromWide<T>(ToWide(x) * factor.multiplied);
  return {leaks ? scaled : x, leaks ? factor.saved : FromFloat<T>(1.0f), leaks};
}

template <class T>
ORT_RRELU_HD T Product(T a, T b) {
  return FromWide<T>(ToWide(a) * ToWide(b));
}

}  // namespace ort_rrelu
