#include "cpu/parallel.h"

#include <atomic>
#include <system_error>
#include <thread>
#include <vector>

namespace ort_rrelu {
namespace {

// A thread must find enough work to be worth starting (about 20 us).
constexpr uint64_t kChunksPerThread = 4;

uint64_t ThreadCount(Range range, int32_t num_threads) {
  const uint64_t wanted =
      num_threads > 0 ? static_cast<uint64_t>(num_threads) : std::thread::hardware_concurrency();
  return std::clamp<uint64_t>(range.Chunks() / kChunksPerThread, 1, std::max<uint64_t>(wanted, 1));
}

}  // namespace

// Threads live as long as the call: a pool would not survive fork(), which torch's DataLoader uses.
void ParallelFor(Range range, int32_t num_threads, void (*work)(const void*, uint64_t, uint64_t),
                 const void* context) {
  std::atomic<uint64_t> next{0};
  const auto drain = [&] {
    for (uint64_t i = next++; i < range.Chunks(); i = next++) {
      const Range chunk = range.Chunk(i);
      work(context, chunk.begin, chunk.end);
    }
  };
  std::vector<std::thread> threads;
  for (uint64_t i = 1; i < ThreadCount(range, num_threads); ++i) {
    try {
      threads.emplace_back(drain);
    } catch (const std::system_error&) {
      break;  // no more threads to be had: the ones there are do the work
    }
  }
  drain();
  for (std::thread& thread : threads) thread.join();
}

}  // namespace ort_rrelu
