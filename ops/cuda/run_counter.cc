#include "cuda/run_counter.h"

#include <cuda_runtime_api.h>

#include "cuda/status.h"

namespace ort_rrelu::cuda {
namespace {

constexpr uint32_t kCells = 64;  // of a page

// Memory may be taken while a stream of this or another thread is being captured.
class WhileCapturing {
 public:
  WhileCapturing() { cudaThreadExchangeStreamCaptureMode(&mode_); }
  ~WhileCapturing() { cudaThreadExchangeStreamCaptureMode(&mode_); }
  WhileCapturing(const WhileCapturing&) = delete;
  WhileCapturing& operator=(const WhileCapturing&) = delete;

 private:
  cudaStreamCaptureMode mode_ = cudaStreamCaptureModeRelaxed;
};

// On a stream of its own, which waits for no other and is not captured.
std::string SetToZero(void* memory, size_t bytes) {
  cudaStream_t stream = nullptr;
  std::string error = ErrorOf(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  if (!error.empty()) return error;
  error = ErrorOf(cudaMemsetAsync(memory, 0, bytes, stream));
  if (error.empty()) error = ErrorOf(cudaStreamSynchronize(stream));
  cudaStreamDestroy(stream);
  return error;
}

}  // namespace

RunCounter::~RunCounter() {
  for (uint64_t* page : pages_) cudaFree(page);
}

std::string RunCounter::Grow() {
  const WhileCapturing allowed;
  void* page = nullptr;
  std::string error = ErrorOf(cudaMalloc(&page, kCells * sizeof(uint64_t)));
  if (!error.empty()) return error;
  error = SetToZero(page, kCells * sizeof(uint64_t));
  if (!error.empty()) {
    cudaFree(page);
    return error;
  }
  used_ = pages_.empty() ? 1 : 0;  // the counter has the first cell of all
  pages_.push_back(static_cast<uint64_t*>(page));
  return "";
}

std::string RunCounter::TakeCell(uint64_t** cell) {
  if (pages_.empty() || used_ == kCells) {
    if (std::string error = Grow(); !error.empty()) return error;
  }
  *cell = pages_.back() + used_++;
  return "";
}

// Runs on one stream follow each other and may share a cell. A captured run has one of its own for good: its
// graph may be replayed anywhere.
std::string RunCounter::CellOf(void* stream, uint64_t** cell) {
  const auto handle = static_cast<cudaStream_t>(stream);
  cudaStreamCaptureStatus capturing = cudaStreamCaptureStatusNone;
  std::string error = ErrorOf(cudaStreamIsCapturing(handle, &capturing));
  if (!error.empty()) return error;
  if (capturing != cudaStreamCaptureStatusNone) return TakeCell(cell);
  unsigned long long number = 0;
  error = ErrorOf(cudaStreamGetId(handle, &number));
  if (!error.empty()) return error;
  const auto known = cells_.find(number);
  if (known == cells_.end()) {
    error = TakeCell(cell);
    if (error.empty()) cells_[number] = *cell;
  } else {
    *cell = known->second;
  }
  return error;
}

std::string RunCounter::Next(void* stream, Source* source) {
  const std::lock_guard<std::mutex> lock(mutex_);
  std::string error = CellOf(stream, &source->taken);
  if (error.empty()) source->counter = pages_.front();
  return error;
}

}  // namespace ort_rrelu::cuda
