#include "cuda/fault.h"

#include <cuda_runtime_api.h>

#include <cstring>

#include "cuda/status.h"

namespace ort_rrelu::cuda {

Fault::~Fault() {
  if (on_host_ != nullptr) cudaFreeHost(on_host_);
}

std::string Fault::Allocate() {
  void* memory = nullptr;
  std::string error = ErrorOf(cudaHostAlloc(&memory, sizeof(ort_rrelu_fault), cudaHostAllocMapped));
  if (!error.empty()) return error;
  std::memset(memory, 0, sizeof(ort_rrelu_fault));
  on_host_ = static_cast<ort_rrelu_fault*>(memory);
  void* mapped = nullptr;
  error = ErrorOf(cudaHostGetDevicePointer(&mapped, memory, 0));
  on_device_ = static_cast<ort_rrelu_fault*>(mapped);
  return error;
}

std::string Fault::Take() {
  char message[512] = "";
  ort_rrelu_cuda_fault(on_host_, message, sizeof message);
  return message;
}

}  // namespace ort_rrelu::cuda
