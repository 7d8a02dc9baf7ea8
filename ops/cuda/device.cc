// Driver and device, or, in a build without CUDA, what it says instead, also for the kernels.
#include "cuda/device.h"

#include "cuda/kernels.h"
#include "error.h"

#if defined(ORT_RRELU_HAS_CUDA)

#include <cuda_runtime_api.h>

#include <algorithm>
#include <atomic>
#include <utility>

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

void LookForDriver() {
  int driver = 0;
  CheckCuda(cudaDriverGetVersion(&driver));
  if (driver == 0) Fail("there is no NVIDIA driver here: " + Needs() + "; the CPU kernels work without");
  if (driver / 1000 < CUDART_VERSION / 1000) {
    Fail("the NVIDIA driver here is for CUDA " + VersionText(driver) + ": " + Needs() +
         "; the CPU kernels work with any");
  }
  int devices = 0;
  CheckCuda(cudaGetDeviceCount(&devices));
}

// Of the thread's device, with a sign between major and minor.
std::string ComputeCapability(const char* sign) {
  int device = 0, major = 0, minor = 0;
  cudaGetDevice(&device);
  cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device);
  cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, device);
  return std::to_string(major) + sign + std::to_string(minor);
}

std::string NoCodeForThisDevice() {
  std::string built = ORT_RRELU_CUDA_ARCHITECTURES;
  built.erase(std::remove(built.begin(), built.end(), '"'), built.end());
  return ": the device has compute capability " + ComputeCapability(".") +
         ", and this ort_rrelu was built for " + built +
         ": build it where nvcc is (pip install -C cmake.define.CMAKE_CUDA_ARCHITECTURES=" +
         ComputeCapability("") + " .)";
}

}  // namespace

bool IsBuilt() { return true; }

std::string Facts() {
  return std::string("{\"toolkit\": \"") + VersionText(CUDART_VERSION) + "\", \"minimum_driver\": \"" +
         kMinimumDriver +
         "\", \"architectures\": [" ORT_RRELU_CUDA_ARCHITECTURES "], \"ptx\": " + ORT_RRELU_CUDA_PTX + "}";
}

void CheckDriver() {
  static std::atomic<bool> found{false};  // good news is kept: every call asks
  if (found.load(std::memory_order_relaxed)) return;
  LookForDriver();
  found.store(true, std::memory_order_relaxed);
}

// CUDA keeps an error for whoever asks next, which would fail another node of the session.
void CheckCuda(int status) {
  if (status == cudaSuccess) return;
  const auto error = static_cast<cudaError_t>(status);
  static_cast<void>(cudaGetLastError());
  std::string message = std::string("CUDA: ") + cudaGetErrorName(error) + ": " + cudaGetErrorString(error);
  if (error == cudaErrorNoKernelImageForDevice || error == cudaErrorInvalidDeviceFunction) {
    message += NoCodeForThisDevice();
  }
  Fail(std::move(message));
}

Owner DeviceMemory(const char* name, const void* address) {
  const Owner owner = OwnerOf(address);
  if (!owner.on_device) Fail(std::string(name) + " is not the address of CUDA device memory");
  return owner;
}

void CheckKnown(const char* name, const void* address) {
  if (OwnerOf(address).device < 0) Fail(std::string(name) + " is not the address of memory that CUDA knows");
}

}  // namespace ort_rrelu::cuda

#else

namespace ort_rrelu::cuda {
namespace {

[[noreturn]] void FailWithoutKernels() {
  Fail(
      "this ort_rrelu was built without CUDA kernels: build it where nvcc of CUDA 12 or 13 is found "
      "(pip install -C cmake.define.ORT_RRELU_CUDA=ON .)");
}

}  // namespace

bool IsBuilt() { return false; }

std::string Facts() { return "null"; }

void CheckDriver() { FailWithoutKernels(); }

void CheckCuda(int) { FailWithoutKernels(); }

Owner DeviceMemory(const char*, const void*) { FailWithoutKernels(); }

void CheckKnown(const char*, const void*) { FailWithoutKernels(); }

InContext::InContext(const Owner&) { FailWithoutKernels(); }

InContext::~InContext() { static_cast<void>(retained_), static_cast<void>(pushed_); }

void Load(int32_t) { FailWithoutKernels(); }

void Launch(const ForwardCall&, const Source&, void*) { FailWithoutKernels(); }

void Launch(const BackwardCall&, void*) { FailWithoutKernels(); }

void Launch(const ReserveBackwardCall&, ort_rrelu_fault*, void*) { FailWithoutKernels(); }

}  // namespace ort_rrelu::cuda

#endif
