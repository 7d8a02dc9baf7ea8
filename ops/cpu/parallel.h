// Work cut into chunks that begin at multiples of 8, run by whoever has threads to give.
#pragma once

#include <algorithm>
#include <cstdint>

namespace ort_rrelu {

inline constexpr uint64_t kChunk = uint64_t{1} << 15;  // elements; a multiple of 8
static_assert(kChunk % 8 == 0);

struct Range {
  uint64_t begin, end;
  uint64_t Chunks() const { return (end - begin + kChunk - 1) / kChunk; }
  Range Chunk(uint64_t index) const {
    const uint64_t first = begin + index * kChunk;
    return {first, std::min(first + kChunk, end)};
  }
};

// Runs work(chunk) for every chunk of `range` on up to `num_threads` threads (0: as many as the machine
// has). `work` is called with (context, begin, end) and must not throw.
void ParallelFor(Range range, int32_t num_threads, void (*work)(const void*, uint64_t, uint64_t),
                 const void* context);

}  // namespace ort_rrelu
