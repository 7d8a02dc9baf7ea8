// How the random stream is laid over X where rows have steps of their own: from a block of eight elements of
// the whole tensor to their words.
#pragma once

#include <type_traits>

#include "call.h"
#include "slope.h"

namespace ort_rrelu {

// One step for all of X; rows of whole blocks; rows of any size.
enum class Layout { kOneStep, kWholeBlocks, kAnySize };

ORT_RRELU_HD uint64_t HighProduct(uint64_t a, uint64_t b) {
#if defined(__CUDA_ARCH__)
  return __umul64hi(a, b);
#else
  constexpr uint64_t kLow = 0xFFFFFFFFu;
  const uint64_t a_low = a & kLow, a_high = a >> 32, b_low = b & kLow, b_high = b >> 32;
  const uint64_t middle = a_high * b_low + (a_low * b_low >> 32);
  const uint64_t low_middle = a_low * b_high + (middle & kLow);
  return a_high * b_high + (middle >> 32) + (low_middle >> 32);
#endif
}

// Quotients by one number without a division.
struct Divisor {
  uint64_t by, reciprocal;  // floor((2^64 - 1) / by)
};

inline Divisor MakeDivisor(uint64_t by) { return {by, ~uint64_t{0} / by}; }

ORT_RRELU_HD uint64_t Quotient(uint64_t value, const Divisor& divisor) {
  const uint64_t estimate = HighProduct(value, divisor.reciprocal);  // exact, or 1 too small
  return estimate + (value - estimate * divisor.by >= divisor.by ? 1 : 0);
}

struct RowLayout {
  RowSteps rows;
  Divisor divisor;  // blocks of a row where they are whole, else its elements
};

inline bool AreWholeBlocks(const RowSteps& rows) { return rows.size % kBlock == 0; }

inline Layout LayoutOf(const RowSteps& rows) {
  if (rows.count == 0 || rows.size == 0) return Layout::kOneStep;
  return AreWholeBlocks(rows) ? Layout::kWholeBlocks : Layout::kAnySize;
}

inline RowLayout MakeRowLayout(const ort_rrelu_params& params, uint64_t size) {
  const RowSteps rows = RowStepsOf(params, size);
  if (LayoutOf(rows) == Layout::kOneStep) return {rows, {1, 0}};
  return {rows, MakeDivisor(AreWholeBlocks(rows) ? rows.size / kBlock : rows.size)};
}

// f(layout as a constant) for the one that `rows` have.
template <class F>
void WithLayout(const RowSteps& rows, const F& f) {
  switch (LayoutOf(rows)) {
    case Layout::kOneStep:
      return f(std::integral_constant<Layout, Layout::kOneStep>());
    case Layout::kWholeBlocks:
      return f(std::integral_constant<Layout, Layout::kWholeBlocks>());
    case Layout::kAnySize:
      return f(std::integral_constant<Layout, Layout::kAnySize>());
  }
}

// The half words of a block in a ring, each `halves` places further.
ORT_RRELU_HD Words4 Turned(const Words4& block, int halves) {
  const uint32_t (&from)[4] = block.word;
  const Words4 twos = halves & 4 ? Words4{{from[2], from[3], from[0], from[1]}} : block;
  const uint32_t (&two)[4] = twos.word;
  const Words4 ones = halves & 2 ? Words4{{two[3], two[0], two[1], two[2]}} : twos;
  Words4 turned;
  ORT_RRELU_UNROLL
  for (int i = 0; i < 4; ++i) {
    const uint32_t below = ones.word[(i + 3) % 4];
    turned.word[i] = halves & 1 ? ones.word[i] << 16 | below >> 16 : ones.word[i];
  }
  return turned;
}

// The half words of `words` below place `first`, those of `others` from there on.
ORT_RRELU_HD Words4 Joined(const Words4& words, const Words4& others, int first) {
  Words4 joined;
  const uint64_t all = ~uint64_t{0};
  const uint64_t low = first < 4 ? all << (16 * first) : 0;
  const uint64_t high = first <= 4 ? all : all << (16 * (first - 4));
  ORT_RRELU_UNROLL
  for (int i = 0; i < 4; ++i) {
    const uint32_t mask = static_cast<uint32_t>((i < 2 ? low : high) >> (32 * (i % 2)));
    joined.word[i] = (words.word[i] & ~mask) | (others.word[i] & mask);
  }
  return joined;
}

// The words of block `block` of the whole tensor.
template <Layout kLayout>
ORT_RRELU_HD Words4 WordsOf(uint64_t seed, uint64_t step, const RowLayout& layout, uint64_t block) {
  const RowSteps& rows = layout.rows;
  if constexpr (kLayout == Layout::kOneStep) {
    return RandomBlock(seed, step, block);
  } else if constexpr (kLayout == Layout::kWholeBlocks) {
    const uint64_t row = Quotient(block, layout.divisor);
    return RandomBlock(seed, ReadStep(rows.steps, row), block - row * layout.divisor.by);
  } else {
    uint64_t row = Quotient(block * kBlock, layout.divisor);
    uint64_t place = block * kBlock - row * rows.size;
    Words4 words{};
    // Mostly parts of two blocks; of three where a row ends between them, of more where rows are short.
    for (int filled = 0; filled < kBlock && row < rows.count;) {
      const int from = static_cast<int>(place % kBlock);
      int count = kBlock - (from > filled ? from : filled);
      if (rows.size - place < static_cast<uint64_t>(count)) count = static_cast<int>(rows.size - place);
      const Words4 drawn = RandomBlock(seed, ReadStep(rows.steps, row), place / kBlock);
      words = Joined(words, Turned(drawn, filled - from), filled);
      filled += count;
      place += count;
      if (place == rows.size) {
        place = 0;
        ++row;
      }
    }
    return words;
  }
}

}  // namespace ort_rrelu
