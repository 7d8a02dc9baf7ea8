// A call's chunks on threads of its own, which live as long as it: a pool would not survive fork(), which
// torch's DataLoader uses.
#include <algorithm>
#include <atomic>
#include <exception>
#include <thread>
#include <vector>

#include "cpu/kernels.h"

namespace ort_rrelu {
namespace {

// A thread must find enough work to be worth starting (about 20 us).
constexpr uint64_t kChunksPerThread = 4;

uint64_t ThreadCount(Range range, int32_t num_threads) {
  const uint64_t useful = range.Chunks() / kChunksPerThread;
  if (useful <= 1) return 1;  // and hardware_concurrency(), which takes 6 us, is not asked
  const uint64_t wanted =
      num_threads > 0 ? static_cast<uint64_t>(num_threads) : std::thread::hardware_concurrency();
  return std::clamp<uint64_t>(useful, 1, std::max<uint64_t>(wanted, 1));
}

template <class Call>
void RunChunks(const Call& call) {
  std::atomic<uint64_t> next{0};
  const auto drain = [&] {
    for (uint64_t i = next++; i < call.range.Chunks(); i = next++) Run(call, call.range.Chunk(i));
  };
  std::vector<std::thread> threads;
  const uint64_t count = ThreadCount(call.range, call.params.num_threads);
  for (uint64_t i = 1; i < count; ++i) {
    try {
      threads.emplace_back(drain);
    } catch (const std::exception&) {
      break;  // no more threads, or memory for them, to be had: the ones there are do the work
    }
  }
  drain();
  for (std::thread& thread : threads) thread.join();
}

}  // namespace

void RunOnThreads(const ForwardCall& call) { RunChunks(call); }

void RunOnThreads(const BackwardCall& call) { RunChunks(call); }

void RunOnThreads(const ReserveBackwardCall& call) { RunChunks(call); }

}  // namespace ort_rrelu
