// Counts the runs of one node in device memory, on the stream that runs them: what a captured CUDA graph
// replays counts too.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "cuda/kernels.h"

namespace ort_rrelu::cuda {

class RunCounter {
 public:
  RunCounter() = default;
  ~RunCounter();
  RunCounter(const RunCounter&) = delete;
  RunCounter& operator=(const RunCounter&) = delete;

  // Where the kernels of the next run on `stream` find their step. Returns what went wrong, or "". Memory is
  // taken at the first call, on the thread's device.
  std::string Next(void* stream, Source* source);

 private:
  std::string Grow();
  std::string TakeCell(uint64_t** cell);
  std::string CellOf(void* stream, uint64_t** cell);

  std::mutex mutex_;
  std::vector<uint64_t*> pages_;         // of zeros; the first cell of the first is the counter
  uint32_t used_ = 0;                    // cells of the last page
  std::map<uint64_t, uint64_t*> cells_;  // by the number of a stream, which is never given again
};

}  // namespace ort_rrelu::cuda
