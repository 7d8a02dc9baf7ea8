// The random stream where each row of X has a step of its own: row r is drawn as a tensor alone, its element
// k taking 16 bits of block k / 8 at step r.
//
// Where a row has whole units of blocks left, Stream draws them. Elsewhere lanes carry counters across the
// borders of rows, each with its block and step. Where the size of a row is no multiple of 8, its last block
// has half words to spare, which are left out when units are packed together.
#include <algorithm>
#include <cstring>

#include "call.h"
#include "cpu/stream-inl.h"

#if defined(ORT_RRELU_CPU_ROWS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef ORT_RRELU_CPU_ROWS_INL_H_
#undef ORT_RRELU_CPU_ROWS_INL_H_
#else
#define ORT_RRELU_CPU_ROWS_INL_H_
#endif

HWY_BEFORE_NAMESPACE();
namespace ort_rrelu {
namespace HWY_NAMESPACE {

// Draws the blocks of all rows, one unit after the other, whatever rows they belong to.
class RowStream {
 public:
  static constexpr size_t kMaxBlocks = 4 * HWY_MAX_LANES_D(CounterTag);  // of a unit

  // From the block of element `begin` on.
  RowStream(uint64_t seed, const RowSteps& rows, uint64_t begin)
      : rows_(rows),
        blocks_(rows.size / kBlock + (rows.size % kBlock != 0)),
        reciprocal_(blocks_ < kMaxBlocks ? (65536 + blocks_ - 1) / blocks_ : 0),
        row_(begin / rows.size),
        block_(begin % rows.size / kBlock),
        stream_(seed, 0, 0) {}

  uint64_t BlocksOfRow() const { return blocks_; }
  uint64_t Row() const { return row_; }
  uint64_t Block() const { return block_; }

  // How many of the next units lie in one row and have one high block word.
  HWY_INLINE uint64_t UnitsOfOneStream() const {
    const uint64_t high_word_ends = ((block_ >> 32) + 1) << 32;
    return AtEnd() ? 0 : (std::min(blocks_, high_word_ends) - block_) / Stream::Blocks();
  }

  // What draws those units.
  HWY_INLINE const Stream& OneStream() {
    const uint32_t high_word = static_cast<uint32_t>(block_ >> 32);
    if (begun_row_ != row_ || begun_high_word_ != high_word) {
      stream_.Begin(Step(row_), high_word);
      begun_row_ = row_;
      begun_high_word_ = high_word;
    }
    return stream_;
  }

  HWY_INLINE void Skip(uint64_t units) { Advance(units * Stream::Blocks()); }

  // The half words of the next unit, of whatever rows. After the last row nothing is drawn.
  HWY_NOINLINE void Draw(uint16_t* to) {
    const auto put = [to](size_t i, Counters words) ORT_RRELU_LAMBDA {
      hn::StoreU(hn::BitCast(HalfWordTag(), words), HalfWordTag(), to + i);
    };
    if (AtEnd()) return;
    if (UnitsOfOneStream() > 0) {
      OneStream().ForEachWords(block_, put);
      Skip(1);
    } else if (blocks_ >= Stream::Blocks()) {
      DrawAcross(put);
    } else {
      DrawMany(put);
    }
  }

 private:
  bool AtEnd() const { return row_ >= rows_.count; }

  uint64_t Step(uint64_t row) const { return row < rows_.count ? ReadStep(rows_.steps, row) : 0; }

  // By no more than to the end of the row.
  void Advance(uint64_t blocks) {
    block_ += blocks;
    if (block_ < blocks_) return;
    block_ -= blocks_;
    ++row_;
  }

  // A unit of two rows at most, or one in which the high block word changes.
  template <class Body>
  HWY_INLINE void DrawAcross(const Body& body) {
    const Counters4 places = Stream::Counter4(block_);  // as if the row went on
    const auto size = SetCounters(blocks_);
    const auto now = SetCounters(Step(row_)), next = SetCounters(Step(row_ + 1));
    const auto block = [&](Counters place) ORT_RRELU_LAMBDA {
      return hn::IfThenElse(hn::Lt(place, size), place, hn::Sub(place, size));
    };
    const auto step = [&](Counters place)
                          ORT_RRELU_LAMBDA { return hn::IfThenElse(hn::Lt(place, size), now, next); };
    stream_.ForEachWords(Each(block, places), Each(step, places), body);
    Advance(Stream::Blocks());
  }

  // A unit of many rows: places are below 2 * kMaxBlocks, where quotients by the reciprocal are exact.
  template <class Body>
  HWY_INLINE void DrawMany(const Body& body) {
    const uint64_t unit = Stream::Blocks();
    const CounterTag d;
    const hn::Repartition<uint8_t, CounterTag> bytes;
    const uint64_t lanes = hn::Lanes(d);
    const uint8_t* steps = static_cast<const uint8_t*>(rows_.steps) + row_ * sizeof(uint64_t);
    uint8_t padded[2 * kMaxBlocks * sizeof(uint64_t)];
    if (const uint64_t left = rows_.count - row_; left < 2 * unit) {
      std::memcpy(padded, steps, left * sizeof(uint64_t));
      std::memset(padded + left * sizeof(uint64_t), 0, (2 * unit - left) * sizeof(uint64_t));
      steps = padded;
    }
    const auto reciprocal = hn::Set(WordTag(), static_cast<uint32_t>(reciprocal_));
    const auto size = hn::Set(WordTag(), static_cast<uint32_t>(blocks_));
    const auto row = [&](Counters place) ORT_RRELU_LAMBDA {
      return hn::ShiftRight<16>(hn::MulEven(hn::BitCast(WordTag(), place), reciprocal));
    };
    const auto block = [&](Counters place, Counters of_row) ORT_RRELU_LAMBDA {
      return hn::Sub(place, hn::MulEven(hn::BitCast(WordTag(), of_row), size));
    };
    const auto step = [&](Counters of_row, uint64_t group) ORT_RRELU_LAMBDA {
      const uint64_t first = (block_ + group * lanes) * reciprocal_ >> 16;
      const auto table = hn::BitCast(d, hn::LoadU(bytes, steps + first * sizeof(uint64_t)));
      const auto place = hn::BitCast(hn::RebindToSigned<CounterTag>(), hn::Sub(of_row, SetCounters(first)));
      return hn::TableLookupLanes(table, hn::IndicesFromVec(d, place));
    };
    const Counters4 places = Stream::Counter4(block_);
    const Counters4 rows = Each(row, places);
    const Counters4 of_lanes = hn::Create4(d, step(hn::Get4<0>(rows), 0), step(hn::Get4<1>(rows), 1),
                                           step(hn::Get4<2>(rows), 2), step(hn::Get4<3>(rows), 3));
    stream_.ForEachWords(Each(block, places, rows), of_lanes, body);
    const uint64_t passed = (block_ + unit) * reciprocal_ >> 16;
    row_ += passed;
    block_ += unit - passed * blocks_;
  }

  const RowSteps rows_;
  const uint64_t blocks_, reciprocal_;  // of a row
  uint64_t row_, block_;                // the next to draw
  uint64_t begun_row_ = ~uint64_t{0};   // what stream_ is of
  uint32_t begun_high_word_ = 0;
  Stream stream_;
};

// The half words of elements [begin, end), some units at a time, in the order of the elements.
class RowWords {
 public:
  RowWords(uint64_t seed, const RowSteps& rows, uint64_t begin, uint64_t end)
      : stream_(seed, rows, begin),
        spare_((kBlock - rows.size % kBlock) % kBlock),
        left_(end - begin),
        block_(stream_.Block()),
        taken_(begin % rows.size % kBlock) {
    if (spare_ != 0) DrawNext();
  }

  // Elements, in whole units, that one stream draws: of rows of whole blocks, where there are enough to be
  // worth it. They are those from the given element of their row on.
  HWY_INLINE uint64_t SizeOfOneStream() const {
    const uint64_t units = spare_ == 0 ? stream_.UnitsOfOneStream() : 0;
    return units < kFew ? 0 : std::min(left_, units * UnitSize());
  }
  uint64_t ElementOfRow() const { return stream_.Block() * kBlock; }
  HWY_INLINE const Stream& OneStream() { return stream_.OneStream(); }
  HWY_INLINE void Skip(uint64_t size) {
    left_ -= size;
    if (left_ > 0) stream_.Skip(size / UnitSize());
  }

  // The half words of the next `*size` elements, which are whole units, or all that are left.
  HWY_NOINLINE const uint16_t* Next(uint64_t* size) {
    if (spare_ != 0) return NextPacked(size);
    uint64_t units = 0;
    do {
      stream_.Draw(packed_ + units * UnitSize());
      ++units;
    } while (units < kUnits && units * UnitSize() < left_ && stream_.UnitsOfOneStream() < kFew);
    *size = std::min(left_, units * UnitSize());
    left_ -= *size;
    return packed_;
  }

 private:
  static constexpr size_t kMaxUnit = kBlock * RowStream::kMaxBlocks;
  static constexpr size_t kUnits = 8;  // drawn at a time
  static constexpr size_t kFew = 2;
  static constexpr size_t kLongestStore = 32;

  static size_t UnitSize() { return kBlock * Stream::Blocks(); }

  const uint16_t* NextPacked(uint64_t* size) {
    if (filled_ < taken_ + std::min<uint64_t>(left_, UnitSize())) Refill();
    const uint64_t ready = filled_ - taken_;
    *size = left_ <= ready ? left_ : ready / UnitSize() * UnitSize();
    left_ -= *size;
    taken_ += static_cast<size_t>(*size);
    return packed_ + taken_ - *size;
  }

  void Refill() {
    if (filled_ > 0) {
      filled_ -= taken_;
      std::memmove(packed_, packed_ + taken_, filled_ * sizeof(uint16_t));
      taken_ = 0;
    }
    const uint64_t wanted = std::min<uint64_t>(kUnits * UnitSize(), taken_ + left_);
    while (filled_ < wanted) {
      DrawNext();
      stream_.BlocksOfRow() <= 2 ? Pack<kLongestStore / 2>() : Pack<kLongestStore>();
    }
  }

  void DrawNext() {
    which_ ^= 1;
    stream_.Draw(drawn_[which_]);
  }

  // The unit before the one that was drawn last, so that no load waits for a store. The stores of a run of
  // blocks reach over its end, where those of the next one follow.
  template <size_t kStore>
  HWY_INLINE void Pack() {
    const hn::CappedTag<uint16_t, kStore> d;
    const uint16_t* from = drawn_[which_ ^ 1];
    uint16_t* to = packed_ + filled_;
    const uint64_t blocks = stream_.BlocksOfRow();
    for (uint64_t left = Stream::Blocks(); left > 0;) {
      const uint64_t run = std::min(blocks - block_, left);
      for (size_t j = 0; j < kBlock * run; j += hn::Lanes(d)) hn::StoreU(hn::LoadU(d, from + j), d, to + j);
      left -= run;
      block_ += run;
      from += kBlock * run;
      to += kBlock * run;
      if (block_ == blocks) {
        block_ = 0;
        to -= spare_;
      }
    }
    filled_ = static_cast<size_t>(to - packed_);
  }

  RowStream stream_;
  const size_t spare_;             // half words of a row's last block
  uint64_t left_;                  // elements
  uint64_t block_;                 // the next to pack, of its row
  size_t filled_ = 0, taken_ = 0;  // half words of packed_
  int which_ = 0;
  alignas(64) uint16_t drawn_[2][kMaxUnit + kLongestStore];
  alignas(64) uint16_t packed_[(kUnits + 2) * kMaxUnit + kLongestStore];
};

}  // namespace HWY_NAMESPACE
}  // namespace ort_rrelu
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
