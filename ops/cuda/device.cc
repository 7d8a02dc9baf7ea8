#include "cuda/device.h"

#include <cuda_runtime_api.h>

#include <atomic>

#include "cuda/status.h"

#define ORT_RRELU_TEXT_OF(value) #value
#define ORT_RRELU_TEXT(value) ORT_RRELU_TEXT_OF(value)

namespace ort_rrelu::cuda {
namespace {

// The oldest driver of each major version of CUDA, by NVIDIA's release notes: within a major version newer
// toolkits run on it.
#if CUDART_VERSION >= 14000 || CUDART_VERSION < 12000
#error "ort_rrelu is written for CUDA 12 and 13"
#elif CUDART_VERSION >= 13000
constexpr const char* kMinimumDriver = "580.65.06";
#else
constexpr const char* kMinimumDriver = "525.60.13";
#endif

std::string VersionText(int version) {
  return std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10);
}

std::string Needs() {
  return "the CUDA kernels of this ort_rrelu were built with CUDA " + VersionText(CUDART_VERSION) +
         " and need driver " + kMinimumDriver + " or newer";
}

std::string LookForDriver() {
  int driver = 0;
  std::string error = ErrorOf(cudaDriverGetVersion(&driver));
  if (!error.empty()) return error;
  if (driver == 0) return "there is no NVIDIA driver here: " + Needs() + "; the CPU kernels work without";
  if (driver / 1000 < CUDART_VERSION / 1000) {
    return "the NVIDIA driver here is for CUDA " + VersionText(driver) + ": " + Needs() +
           "; the CPU kernels work with any";
  }
  int devices = 0;
  return ErrorOf(cudaGetDeviceCount(&devices));
}

}  // namespace

bool IsBuilt() { return true; }

std::string Facts() {
  return std::string("{\"toolkit\": \"") + VersionText(CUDART_VERSION) + "\", \"minimum_driver\": \"" +
         kMinimumDriver +
         "\", \"architectures\": [" ORT_RRELU_CUDA_ARCHITECTURES "], \"ptx\": " + ORT_RRELU_CUDA_PTX + "}";
}

std::string CheckDriver() {
  static std::atomic<bool> found{false};  // good news is kept: every call asks
  if (found.load(std::memory_order_relaxed)) return "";
  const std::string error = LookForDriver();
  if (error.empty()) found.store(true, std::memory_order_relaxed);
  return error;
}

DeviceOf::DeviceOf(const char* name, const void* address, std::string& error) {
  cudaPointerAttributes attributes{};
  error = ErrorOf(cudaPointerGetAttributes(&attributes, address));
  if (!error.empty()) return;
  if (attributes.type != cudaMemoryTypeDevice && attributes.type != cudaMemoryTypeManaged) {
    error = std::string(name) + " is not the address of CUDA device memory";
    return;
  }
  int current = 0;
  error = ErrorOf(cudaGetDevice(&current));
  if (!error.empty() || current == attributes.device) return;
  error = ErrorOf(cudaSetDevice(attributes.device));
  if (error.empty()) before_ = current;
}

DeviceOf::~DeviceOf() {
  if (before_ >= 0) cudaSetDevice(before_);
}

}  // namespace ort_rrelu::cuda
