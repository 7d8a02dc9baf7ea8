// The random stream of slope.h, sixteen vectors of slopes at a time.
//
// Philox multiplies the low halves of 64-bit lanes, one counter in each lane, so that products need no
// masking. Four groups of counters are in flight: one alone would wait for its multiplications. Step and the
// high block word are the same for all counters, which leaves 18 of the 20 multiplications.
#include "cpu/lanes-inl.h"
#include "slope.h"

#if defined(ORT_RRELU_CPU_STREAM_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef ORT_RRELU_CPU_STREAM_INL_H_
#undef ORT_RRELU_CPU_STREAM_INL_H_
#else
#define ORT_RRELU_CPU_STREAM_INL_H_
#endif

HWY_BEFORE_NAMESPACE();
namespace ort_rrelu {
namespace HWY_NAMESPACE {

using WordTag = PatternTag;
using CounterTag = hn::Repartition<uint64_t, FloatTag>;  // a word of a counter, or a product
using Words = hn::Vec<WordTag>;
using Counters = hn::Vec<CounterTag>;
using Counters4 = hn::Vec4<CounterTag>;

// f of each of the four groups.
template <class F, class... V>
HWY_INLINE Counters4 Each(F f, const V&... v) {
  return hn::Create4(CounterTag(), f(hn::Get4<0>(v)...), f(hn::Get4<1>(v)...), f(hn::Get4<2>(v)...),
                     f(hn::Get4<3>(v)...));
}

HWY_INLINE Counters SetCounters(uint64_t value) { return hn::Set(CounterTag(), value); }

// Clang would compute the low half of a product, which the next round reads alone, by a second multiplication
// of 64 bits, and take a third more time: it must not know that the value is a product.
HWY_INLINE Counters Opaque(Counters product) {
#if HWY_ARCH_X86 && HWY_COMPILER_CLANG && HWY_TARGET <= HWY_SSE2
  __asm__("" : "+v"(product.raw));
#endif
  return product;
}

// By one of Philox's two multipliers.
template <int kWhich>
HWY_INLINE Counters4 Products(Counters4 words) {
  const auto multiplier = hn::Set(WordTag(), kPhiloxMultiplier[kWhich]);
  return Each([&](Counters word)
                  ORT_RRELU_LAMBDA { return Opaque(hn::MulEven(hn::BitCast(WordTag(), word), multiplier)); },
              words);
}

// A word of the next round: the high half of a product, a word and a key. What Philox does in every round.
HWY_INLINE Counters4 Mix(Counters4 products, Counters4 words, uint64_t key) {
  const auto keys = SetCounters(key);
  return Each([&](Counters product, Counters word)
                  ORT_RRELU_LAMBDA { return hn::Xor3(hn::ShiftRight<32>(product), word, keys); },
              products, words);
}

HWY_INLINE Counters4 Same(Counters value) { return hn::Create4(CounterTag(), value, value, value, value); }

// What all blocks of one seed, step and high block word share.
class Stream {
 public:
  Stream(uint64_t seed, uint64_t step, uint32_t block_high) {
    PhiloxKey key = MakeKey(seed);
    for (int round = 0; round < kPhiloxRounds; ++round) {
      for (int i = 0; i < 2; ++i) {
        key_[round][i] = key.word[i];
        key.word[i] += kPhiloxWeyl[i];
      }
    }
    Begin(step, block_high);
  }

  // Another step and high block word.
  HWY_INLINE void Begin(uint64_t step, uint32_t block_high) {
    const uint64_t step_product = (step & kLow) * kPhiloxMultiplier[1];
    const uint64_t word0 = (step_product >> 32) ^ block_high ^ key_[0][0];
    word1_ = step_product & kLow;
    word3_ = step >> 32;
    product0_ = word0 * kPhiloxMultiplier[0];
  }

  // The number of blocks that one call of ForEach... takes, eight elements each.
  static size_t Blocks() { return 4 * hn::Lanes(CounterTag()); }

  // body(i, two vectors of slopes of the elements from i on, in the order of T) for the elements of Blocks()
  // blocks.
  template <class T, class Body>
  HWY_INLINE void ForEachSlopes(uint64_t block, float lower, float upper, const Body& body) const {
    const Slopes slopes{lower, upper - lower};
#if !HWY_HAVE_SCALABLE
    if constexpr (!kEvenOdd<T>) {
      ForEachPatterns(block, [&](size_t i, Words patterns0, Words patterns1) ORT_RRELU_LAMBDA {
        body(i, slopes.OfPatterns(patterns0), slopes.OfPatterns(patterns1));
      });
      return;
    }
#endif
    ForEachWords(block, [&](size_t i, Counters words) ORT_RRELU_LAMBDA {
      const auto half_words = hn::BitCast(HalfWordTag(), words);
      body(i, slopes.template First<T>(half_words), slopes.template Second<T>(half_words));
    });
  }

  // body(i, the 16-bit half words of the elements from i on), a vector at a time.
  template <class Body>
  HWY_INLINE void ForEachWords(uint64_t block, const Body& body) const {
    WithPairs(block, [&](const Counters4& words01, const Counters4& words23)
                         ORT_RRELU_LAMBDA { ForEachOf(words01, words23, body); });
  }

  // The same for a block and a step of each lane, whatever step this stream is of. Lanes are in the order of
  // Counter4.
  template <class Body>
  HWY_INLINE void ForEachWords(Counters4 blocks, Counters4 steps, const Body& body) const {
    const auto high = [](Counters value) ORT_RRELU_LAMBDA { return hn::ShiftRight<32>(value); };
    Counters4 word0 = blocks, word1 = Each(high, blocks), word2 = steps, word3 = Each(high, steps);
    HWY_UNROLL(10)
    for (int round = 0; round < kPhiloxRounds; ++round) {
      const Counters4 product0 = Products<0>(word0);
      const Counters4 product1 = Products<1>(word2);
      word0 = Mix(product1, word1, key_[round][0]);
      word2 = Mix(product0, word3, key_[round][1]);
      word1 = product1;
      word3 = product0;
    }
    ForEachOf(Each(Pair, word0, word1), Each(Pair, word2, word3), body);
  }

  // The blocks from `block` on. Even lanes hold the first half of a group's blocks, odd ones the second: the
  // lower and the upper interleave of their words are then in element order.
  static HWY_INLINE Counters4 Counter4(uint64_t block) {
    const uint64_t lanes = hn::Lanes(CounterTag());
    const Counters first = Counter(block);
    return hn::Create4(CounterTag(), first, hn::Add(first, SetCounters(lanes)),
                       hn::Add(first, SetCounters(2 * lanes)), hn::Add(first, SetCounters(3 * lanes)));
  }

  struct Slopes {
    float lower, span;

    // u = (2h + 1) * 2^-17, without a conversion: the float of pattern 0x43000000 | h is 128 + h * 2^-16, so
    // that one subtraction, which is exact, makes u.
    HWY_INLINE hn::Vec<FloatTag> OfPatterns(Words patterns) const {
      const FloatTag d;
      const auto u = hn::Sub(hn::BitCast(d, patterns), hn::Set(d, 0x1p7f - 0x1p-17f));
      return hn::Add(hn::Set(d, lower), hn::Mul(u, hn::Set(d, span)));
    }

    // Of half words in element order: two vectors in the order of T.
    template <class T>
    HWY_INLINE hn::Vec<FloatTag> First(hn::Vec<HalfWordTag> half_words) const {
      const WordTag d;
      if constexpr (kEvenOdd<T>) return OfWords(hn::And(hn::BitCast(d, half_words), hn::Set(d, 0xFFFFu)));
      return OfWords(hn::PromoteLowerTo(d, half_words));
    }
    template <class T>
    HWY_INLINE hn::Vec<FloatTag> Second(hn::Vec<HalfWordTag> half_words) const {
      const WordTag d;
      if constexpr (kEvenOdd<T>) return OfWords(hn::ShiftRight<16>(hn::BitCast(d, half_words)));
      return OfWords(hn::PromoteUpperTo(d, half_words));
    }

   private:
    HWY_INLINE hn::Vec<FloatTag> OfWords(Words half_words) const {
      return OfPatterns(hn::Or(half_words, hn::Set(WordTag(), uint32_t{kPattern} << 16)));
    }
  };

 private:
  static constexpr uint64_t kLow = 0xFFFFFFFFu;
  static constexpr uint16_t kPattern = 0x4300;  // the upper half of what OfPatterns() takes

  // f(words 0 and 1 of the blocks side by side, words 2 and 3).
  template <class F>
  HWY_INLINE void WithPairs(uint64_t block, const F& f) const {
    Counters4 word3 = Products<0>(Counter4(block));
    Counters4 word2 = Mix(word3, Same(SetCounters(word3_)), key_[0][1]);
    Counters4 word1 = Products<1>(word2);
    Counters4 word0 = Mix(word1, Same(SetCounters(word1_)), key_[1][0]);
    word2 = Mix(Same(SetCounters(product0_)), word3, key_[1][1]);
    word3 = Same(SetCounters(product0_));
    HWY_UNROLL(8)
    for (int round = 2; round < kPhiloxRounds; ++round) {
      const Counters4 product0 = Products<0>(word0);
      const Counters4 product1 = Products<1>(word2);
      word0 = Mix(product1, word1, key_[round][0]);
      word2 = Mix(product0, word3, key_[round][1]);
      word1 = product1;  // their low halves: nothing reads the high ones
      word3 = product0;
    }
    f(Each(Pair, word0, word1), Each(Pair, word2, word3));
  }

#if !HWY_HAVE_SCALABLE
  // body(i, patterns of the elements from i on, patterns after those), a pattern being that of OfPatterns().
  // Half words become patterns where they are interleaved with the upper half of one: within 128 bits, where
  // the lower and the upper 64 are of two blocks.
  template <class Body>
  HWY_INLINE void ForEachPatterns(uint64_t block, const Body& body) const {
    WithPairs(block, [&](const Counters4& words01, const Counters4& words23) ORT_RRELU_LAMBDA {
      PatternsOfGroup<0>(words01, words23, body);
      PatternsOfGroup<1>(words01, words23, body);
      PatternsOfGroup<2>(words01, words23, body);
      PatternsOfGroup<3>(words01, words23, body);
    });
  }

  template <size_t kGroup, class Body>
  static HWY_INLINE void PatternsOfGroup(const Counters4& words01, const Counters4& words23,
                                         const Body& body) {
    const HalfWordTag d;
    const size_t half = 2 * hn::Lanes(FloatTag());
    const auto upper = hn::Set(d, kPattern);
    const auto of01 = hn::Get4<kGroup>(words01), of23 = hn::Get4<kGroup>(words23);
    const auto first = hn::BitCast(d, LowerBlocks(of01, of23));
    const auto second = hn::BitCast(d, UpperBlocks(of01, of23));
    const auto lower_of = [&](auto words) ORT_RRELU_LAMBDA {
      return hn::BitCast(WordTag(), hn::InterleaveLower(d, words, upper));
    };
    const auto upper_of = [&](auto words) ORT_RRELU_LAMBDA {
      return hn::BitCast(WordTag(), hn::InterleaveUpper(d, words, upper));
    };
    body(2 * kGroup * half, lower_of(first), lower_of(second));
    body((2 * kGroup + 1) * half, upper_of(first), upper_of(second));
  }

  // The 128-bit blocks of the lower halves of a and b in turn, and those of the upper halves. A vector of
  // one block has no halves.
  static HWY_INLINE Counters LowerBlocks(Counters a, Counters b) {
#if HWY_MAX_BYTES == 16
    return (void)b, a;
#elif HWY_MAX_BYTES == 32
    return hn::ConcatLowerLower(CounterTag(), b, a);
#else
    alignas(64) static constexpr uint64_t kPlaces[] = {0, 1, 8, 9, 2, 3, 10, 11};
    return hn::TwoTablesLookupLanes(CounterTag(), a, b, hn::SetTableIndices(CounterTag(), kPlaces));
#endif
  }
  static HWY_INLINE Counters UpperBlocks(Counters a, Counters b) {
#if HWY_MAX_BYTES == 16
    return (void)a, b;
#elif HWY_MAX_BYTES == 32
    return hn::ConcatUpperUpper(CounterTag(), b, a);
#else
    alignas(64) static constexpr uint64_t kPlaces[] = {4, 5, 12, 13, 6, 7, 14, 15};
    return hn::TwoTablesLookupLanes(CounterTag(), a, b, hn::SetTableIndices(CounterTag(), kPlaces));
#endif
  }
#endif

  template <class Body>
  static HWY_INLINE void ForEachOf(const Counters4& words01, const Counters4& words23, const Body& body) {
    OfGroup<0>(words01, words23, body);
    OfGroup<1>(words01, words23, body);
    OfGroup<2>(words01, words23, body);
    OfGroup<3>(words01, words23, body);
  }

  // Lanes interleave within 128 bits, a block; see Counter4().
  template <size_t kGroup, class Body>
  static HWY_INLINE void OfGroup(const Counters4& words01, const Counters4& words23, const Body& body) {
    const size_t half = 2 * hn::Lanes(FloatTag());
    const auto first = hn::Get4<kGroup>(words01), second = hn::Get4<kGroup>(words23);
    body(2 * kGroup * half, hn::InterleaveLower(CounterTag(), first, second));
    body((2 * kGroup + 1) * half, hn::InterleaveUpper(CounterTag(), first, second));
  }

  static HWY_INLINE Counters Counter(uint64_t block) {
    const CounterTag d;
    const auto lane = hn::Iota(d, 0);
    const auto odd = hn::And(lane, hn::Set(d, uint64_t{1}));
    const auto place = hn::ShiftRight<1>(lane);
    const auto second_half = hn::Set(d, uint64_t{hn::Lanes(d) / 2});
    return hn::Add(hn::Set(d, block), hn::Add(place, hn::And(hn::Sub(hn::Zero(d), odd), second_half)));
  }

  static HWY_INLINE Counters Pair(Counters low, Counters high) {
#if HWY_ARCH_X86 && HWY_TARGET > HWY_AVX3  // there it would be two shuffles
    const auto shifted = hn::BitCast(WordTag(), hn::ShiftLeft<32>(high));
    return hn::BitCast(CounterTag(), hn::OddEven(shifted, hn::BitCast(WordTag(), low)));
#else
    return hn::BitCast(CounterTag(), hn::InterleaveEven(WordTag(), hn::BitCast(WordTag(), low),
                                                        hn::BitCast(WordTag(), high)));
#endif
  }

  uint64_t key_[kPhiloxRounds][2];
  uint64_t word1_;     // after the first round
  uint64_t word3_;     // before it
  uint64_t product0_;  // of the second round
};

}  // namespace HWY_NAMESPACE
}  // namespace ort_rrelu
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
