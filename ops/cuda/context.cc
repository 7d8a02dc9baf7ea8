// The driver's functions, which are found by name: the library is not linked to the driver.
#include "cuda/context.h"

#include <cuda.h>
#include <cuda_runtime_api.h>

#include <cstdint>
#include <iterator>
#include <string>

#include "cuda/device.h"
#include "error.h"

namespace ort_rrelu::cuda {
namespace {

constexpr unsigned kOldestDriver = 12000;  // of the functions below, in CUDA's numbers

template <class F>
F* DriverFunction(const char* name) {
  void* function = nullptr;
  cudaDriverEntryPointQueryResult found{};
#if CUDART_VERSION >= 12050
  CheckCuda(cudaGetDriverEntryPointByVersion(name, &function, kOldestDriver, cudaEnableDefault, &found));
#else
  CheckCuda(cudaGetDriverEntryPoint(name, &function, cudaEnableDefault, &found));
#endif
  if (found != cudaDriverEntryPointSuccess) Fail(std::string("the NVIDIA driver here has no ") + name);
  return reinterpret_cast<F*>(function);
}

struct Driver {
  decltype(cuPointerGetAttributes)* attributes;
  decltype(cuDevicePrimaryCtxRetain)* retain;
  decltype(cuDevicePrimaryCtxRelease)* release;
  decltype(cuCtxPushCurrent)* push;
  decltype(cuCtxPopCurrent)* pop;
};

const Driver& TheDriver() {
  static const Driver driver{
      DriverFunction<decltype(cuPointerGetAttributes)>("cuPointerGetAttributes"),
      DriverFunction<decltype(cuDevicePrimaryCtxRetain)>("cuDevicePrimaryCtxRetain"),
      DriverFunction<decltype(cuDevicePrimaryCtxRelease)>("cuDevicePrimaryCtxRelease"),
      DriverFunction<decltype(cuCtxPushCurrent)>("cuCtxPushCurrent"),
      DriverFunction<decltype(cuCtxPopCurrent)>("cuCtxPopCurrent"),
  };
  return driver;
}

// The driver's errors have the runtime's numbers.
void CheckDriverCall(CUresult result) { CheckCuda(static_cast<int>(result)); }

}  // namespace

// An address that CUDA does not know is no error, and leaves the zeros.
Owner OwnerOf(const void* address) {
  CUmemorytype type{};
  unsigned managed = 0;
  int device = -1;
  CUcontext context = nullptr;
  CUpointer_attribute names[] = {CU_POINTER_ATTRIBUTE_MEMORY_TYPE, CU_POINTER_ATTRIBUTE_IS_MANAGED,
                                 CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL, CU_POINTER_ATTRIBUTE_CONTEXT};
  void* values[] = {&type, &managed, &device, &context};
  CheckDriverCall(TheDriver().attributes(static_cast<unsigned>(std::size(names)), names, values,
                                         static_cast<CUdeviceptr>(reinterpret_cast<uintptr_t>(address))));
  if (type != CU_MEMORYTYPE_DEVICE && type != CU_MEMORYTYPE_HOST && managed == 0) return {};
  return {type == CU_MEMORYTYPE_DEVICE || managed != 0, device, context};
}

InContext::InContext(const Owner& owner) {
  int current = 0;
  CheckCuda(cudaGetDevice(&current));
  if (owner.device < 0 || owner.device == current) return;
  CUcontext context = owner.context;
  if (context == nullptr) {
    CheckDriverCall(TheDriver().retain(&context, owner.device));
    retained_ = owner.device;
  }
  const CUresult result = TheDriver().push(context);
  if (result != CUDA_SUCCESS && retained_ >= 0) TheDriver().release(retained_);
  CheckDriverCall(result);
  pushed_ = true;
}

InContext::~InContext() {
  CUcontext popped = nullptr;
  if (pushed_) TheDriver().pop(&popped);
  if (retained_ >= 0) TheDriver().release(retained_);
}

WhileCapturing::WhileCapturing() : mode_(cudaStreamCaptureModeRelaxed) {
  auto mode = static_cast<cudaStreamCaptureMode>(mode_);
  cudaThreadExchangeStreamCaptureMode(&mode);
  mode_ = mode;
}

WhileCapturing::~WhileCapturing() {
  auto mode = static_cast<cudaStreamCaptureMode>(mode_);
  cudaThreadExchangeStreamCaptureMode(&mode);
}

}  // namespace ort_rrelu::cuda
