// Device memory for counts of runs, and host memory that is mapped for faults.
#include "cuda/node_memory.h"

#include <cuda_runtime_api.h>

#include <cstring>

#include "check.h"
#include "cuda/context.h"
#include "cuda/device.h"

namespace ort_rrelu::cuda {
namespace {

constexpr uint32_t kCells = 64;  // of a page

// In the context of the memory, which the thread may have left. At the end of the process there may be no
// CUDA any more, nor anybody to tell.
template <class FreeIt>
void Free(void* memory, const FreeIt& free_it) noexcept {
  try {
    const InContext context(OwnerOf(memory));
    const WhileCapturing allowed;
    free_it(memory);
  } catch (...) {
  }
}

// On a stream of its own, which waits for no other and is not captured.
void SetToZero(void* memory, size_t bytes) {
  cudaStream_t stream = nullptr;
  CheckCuda(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  cudaError_t status = cudaMemsetAsync(memory, 0, bytes, stream);
  if (status == cudaSuccess) status = cudaStreamSynchronize(stream);
  cudaStreamDestroy(stream);
  CheckCuda(status);
}

}  // namespace

void RunCounter::Free::operator()(uint64_t* page) const { cuda::Free(page, cudaFree); }

void RunCounter::Grow() {
  const WhileCapturing allowed;
  void* memory = nullptr;
  CheckCuda(cudaMalloc(&memory, kCells * sizeof(uint64_t)));
  std::unique_ptr<uint64_t, Free> page(static_cast<uint64_t*>(memory));
  SetToZero(memory, kCells * sizeof(uint64_t));
  pages_.push_back(std::move(page));
  used_ = pages_.size() == 1 ? 1 : 0;  // the counter has the first cell of all
}

uint64_t* RunCounter::TakeCell() {
  if (pages_.empty() || used_ == kCells) Grow();
  return pages_.back().get() + used_++;
}

// Runs on one stream follow each other and may share a cell. A captured run has one of its own for good: its
// graph may be replayed anywhere.
uint64_t* RunCounter::CellOf(void* stream) {
  const auto handle = static_cast<cudaStream_t>(stream);
  cudaStreamCaptureStatus capturing = cudaStreamCaptureStatusNone;
  CheckCuda(cudaStreamIsCapturing(handle, &capturing));
  if (capturing != cudaStreamCaptureStatusNone) return TakeCell();
  unsigned long long number = 0;
  CheckCuda(cudaStreamGetId(handle, &number));
  const auto known = cells_.find(number);
  if (known != cells_.end()) return known->second;
  return cells_[number] = TakeCell();
}

Source RunCounter::Next(void* stream) {
  Source source;
  source.taken = CellOf(stream);
  source.counter = pages_.front().get();
  return source;
}

void Fault::Free::operator()(ort_rrelu_fault* fault) const { cuda::Free(fault, cudaFreeHost); }

Fault::Fault() {
  const WhileCapturing allowed;
  void* memory = nullptr;
  CheckCuda(cudaHostAlloc(&memory, sizeof(ort_rrelu_fault), cudaHostAllocMapped));
  std::memset(memory, 0, sizeof(ort_rrelu_fault));
  on_host_.reset(static_cast<ort_rrelu_fault*>(memory));
  void* mapped = nullptr;
  CheckCuda(cudaHostGetDevicePointer(&mapped, memory, 0));
  on_device_ = static_cast<ort_rrelu_fault*>(mapped);
}

void Fault::Check() { CheckFault(*on_host_); }

}  // namespace ort_rrelu::cuda
