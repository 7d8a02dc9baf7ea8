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

// Eight half words as a number of 128 bits, so that they move without an index.
struct HalfWords {
  uint64_t low, high;
};

ORT_RRELU_HD HalfWords Right(HalfWords value, int halves) {
  const int bits = 16 * (halves % 4);
  if (halves >= 8) return {0, 0};
  if (halves >= 4) value = {value.high, 0};
  if (bits == 0) return value;
  return {value.low >> bits | value.high << (64 - bits), value.high >> bits};
}

ORT_RRELU_HD HalfWords Left(HalfWords value, int halves) {
  const int bits = 16 * (halves % 4);
  if (halves >= 8) return {0, 0};
  if (halves >= 4) value = {0, value.low};
  if (bits == 0) return value;
  return {value.low << bits, value.high << bits | value.low >> (64 - bits)};
}

// Half words `from` to `from + count` of a block, moved to `to`; zeros elsewhere.
ORT_RRELU_HD HalfWords Moved(const Words4& block, int from, int count, int to) {
  const HalfWords all = {block.word[0] | static_cast<uint64_t>(block.word[1]) << 32,
                         block.word[2] | static_cast<uint64_t>(block.word[3]) << 32};
  return Left(Right(Left(Right(all, from), kBlock - count), kBlock - count), to);
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
    HalfWords words = {0, 0};
    // Mostly parts of two blocks; of three where a row ends between them, of more where rows are short.
    for (int filled = 0; filled < kBlock && row < rows.count;) {
      const int from = static_cast<int>(place % kBlock);
      int count = kBlock - (from > filled ? from : filled);
      if (rows.size - place < static_cast<uint64_t>(count)) count = static_cast<int>(rows.size - place);
      const Words4 drawn = RandomBlock(seed, ReadStep(rows.steps, row), place / kBlock);
      const HalfWords moved = Moved(drawn, from, count, filled);
      words = {words.low | moved.low, words.high | moved.high};
      filled += count;
      place += count;
      if (place == rows.size) {
        place = 0;
        ++row;
      }
    }
    return {{static_cast<uint32_t>(words.low), static_cast<uint32_t>(words.low >> 32),
             static_cast<uint32_t>(words.high), static_cast<uint32_t>(words.high >> 32)}};
  }
}

}  // namespace ort_rrelu
