// What a node keeps from run to run on CUDA, in memory that its kernels write to: the count of its runs, and
// what they found wrong. The host waits for none of it.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include "cuda/kernels.h"
#include "rrelu.h"

namespace ort_rrelu::cuda {

// Counts runs in device memory, on the stream that runs them: what a captured CUDA graph replays counts too.
class RunCounter {
 public:
  // launch(source) queues the next run's kernels on `stream`; they find its step at `source`. No other run
  // counts in between: on one stream both would have the later step. Memory is taken at the first call, on
  // the thread's device.
  template <class Launch>
  void Count(void* stream, const Launch& launch) {
    const std::lock_guard<std::mutex> lock(mutex_);
    launch(Next(stream));
  }

 private:
  struct Free {
    void operator()(uint64_t* page) const;
  };

  void Grow();
  uint64_t* TakeCell();
  uint64_t* CellOf(void* stream);
  Source Next(void* stream);

  std::mutex mutex_;
  std::vector<std::unique_ptr<uint64_t, Free>> pages_;  // of zeros; the first cell of all is the counter
  uint32_t used_ = 0;                                   // cells of the last page
  std::map<uint64_t, uint64_t*> cells_;  // by the number of a stream, which is never given again
};

// A fault in host memory that the device can write to: what a kernel found wrong with a reserve, for the host
// to tell later.
class Fault {
 public:
  // Takes the memory.
  Fault();
  ort_rrelu_fault* on_device() const { return on_device_; }
  // Throws what a kernel has raised since the last call.
  void Check();

 private:
  struct Free {
    void operator()(ort_rrelu_fault* fault) const;
  };

  std::unique_ptr<ort_rrelu_fault, Free> on_host_;
  ort_rrelu_fault* on_device_ = nullptr;
};

}  // namespace ort_rrelu::cuda
