// A CUDA runtime and driver that have two devices on paper: memory is the host's, work is done when it is
// queued, and each call of interest leaves a line. As CUDA does, calls make contexts where they need one, and
// memory is refused while a stream is being captured, unless the thread has said that it knows.
#include <cuda.h>
#include <cuda_runtime_api.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "cuda/kernels.h"
#include "fault.h"

#define EXPORT extern "C" __attribute__((visibility("default")))

namespace {

using ort_rrelu::cuda::Source;

constexpr int kDevices = 2;

struct Memory {
  int device;
  bool on_device;
  CUcontext context;
};

struct Books {
  std::mutex mutex;
  std::string lines;
  std::string told;
  std::set<int> contexts;  // devices that have one
  std::set<void*> captured;
  std::map<uintptr_t, Memory> memory;
  std::map<const void*, std::string> kernels;
  std::set<std::pair<int, const void*>> loaded;
  std::map<std::string, int> failures;  // the next call of a name
  std::string slow;                     // kernel after whose launch a thread sleeps
  int held = 0;                         // primary contexts
  int driver = CUDART_VERSION;
};

Books& books() {
  static auto& books = *new Books;
  return books;
}

thread_local int device_of_thread = 0;
thread_local std::vector<CUcontext> pushed;
thread_local cudaStreamCaptureMode capture_mode = cudaStreamCaptureModeGlobal;
thread_local cudaError_t last_error = cudaSuccess;

CUcontext ContextOf(int device) { return reinterpret_cast<CUcontext>(0x1000 + uintptr_t(device)); }
int DeviceOf(CUcontext context) { return static_cast<int>(reinterpret_cast<uintptr_t>(context) % 0x1000); }
int Device() { return pushed.empty() ? device_of_thread : DeviceOf(pushed.back()); }

void Write(const std::string& line) {
  const char* mode = capture_mode == cudaStreamCaptureModeRelaxed ? "relaxed" : "global";
  books().lines += line + " device=" + std::to_string(Device()) + " mode=" + mode + "\n";
}

cudaError_t Answer(const char* name) {
  const auto failure = books().failures.find(name);
  if (failure == books().failures.end()) return cudaSuccess;
  last_error = static_cast<cudaError_t>(failure->second);
  books().failures.erase(failure);
  return last_error;
}

// A call that works in a context, and one that CUDA refuses while somebody captures.
cudaError_t InContext(const char* name) {
  books().contexts.insert(Device());
  Write(name);
  return Answer(name);
}

cudaError_t Unsafe(const char* name) {
  const cudaError_t answer = InContext(name);
  if (answer != cudaSuccess || books().captured.empty()) return answer;
  if (capture_mode == cudaStreamCaptureModeRelaxed) return cudaSuccess;
  return last_error = cudaErrorStreamCaptureUnsupported;
}

void* NewMemory(size_t bytes, const Memory& memory) {
  void* address = std::malloc(std::max<size_t>(bytes, 1));
  std::memset(address, 0xA5, bytes);
  books().memory[reinterpret_cast<uintptr_t>(address)] = memory;
  return address;
}

cudaError_t Free(const char* name, void* address) {
  const cudaError_t answer = Unsafe(name);
  if (answer != cudaSuccess) return answer;
  if (books().memory.erase(reinterpret_cast<uintptr_t>(address)) == 0) return cudaErrorInvalidValue;
  std::free(address);
  return cudaSuccess;
}

template <class T>
T& Argument(void** arguments, int index) {
  return *static_cast<T*>(arguments[index]);
}

std::string StepOf(const Source& source) {
  if (source.counter != nullptr) return std::to_string((*source.counter)++);
  return source.step != nullptr ? std::to_string(*source.step) : "none";
}

// What a kernel does that the host can see, by its parameters in kernels.cu.
std::string Execute(const std::string& kernel, void** arguments) {
  if (kernel == "Advance") {
    *Argument<uint64_t*>(arguments, 1) = (*Argument<uint64_t*>(arguments, 0))++;
  } else if (kernel == "Forward") {
    return " step=" + StepOf(Argument<const Source>(arguments, 2));
  } else if (kernel == "Reserve") {
    const auto header = ort_rrelu::ReadReserveHeader(Argument<const void*>(arguments, 2));
    const auto size = Argument<uint64_t>(arguments, 4);
    auto* fault = Argument<ort_rrelu_fault*>(arguments, 5);
    if (header.size != size) {
      ort_rrelu::RaiseFault(*fault, header, Argument<int32_t>(arguments, 3), size, header.rows);
    }
  }
  return "";
}

std::string ShortName(const std::string& mangled) {
  for (const char* name : {"Advance", "Forward", "Multiply", "Reserve"}) {
    if (mangled.find(std::string(name)) != std::string::npos) return name;
  }
  return mangled;
}

}  // namespace

// Of the test.

EXPORT void stand_in_reset() {
  const std::lock_guard<std::mutex> lock(books().mutex);
  books().lines.clear(), books().contexts.clear(), books().captured.clear(), books().failures.clear();
  books().slow.clear();
  books().held = 0;
  books().driver = CUDART_VERSION;
}

EXPORT const char* stand_in_lines() {
  const std::lock_guard<std::mutex> lock(books().mutex);
  books().told = books().lines;
  return books().told.c_str();
}

EXPORT int stand_in_has_context(int device) { return static_cast<int>(books().contexts.count(device)); }
EXPORT int stand_in_held_contexts() { return books().held; }
EXPORT void stand_in_start_thread_on(int device) { device_of_thread = device; }
EXPORT int stand_in_device() { return Device(); }
EXPORT int stand_in_last_error() { return last_error; }

// Kernels of the library that were not loaded on the device.
EXPORT int stand_in_not_loaded(int device) {
  const std::lock_guard<std::mutex> lock(books().mutex);
  return static_cast<int>(
      std::count_if(books().kernels.begin(), books().kernels.end(),
                    [&](const auto& kernel) { return books().loaded.count({device, kernel.first}) == 0; }));
}

EXPORT void stand_in_fail(const char* call, int status) { books().failures[call] = status; }
EXPORT void stand_in_driver_is_for(int version) { books().driver = version; }
EXPORT void stand_in_sleep_after(const char* kernel) { books().slow = kernel; }

EXPORT void stand_in_capture(void* stream) {
  const std::lock_guard<std::mutex> lock(books().mutex);
  books().captured.insert(stream);
}

// Of a device, or of its pool, which is of no context.
EXPORT void* stand_in_memory(int device, int of_pool, size_t bytes) {
  const std::lock_guard<std::mutex> lock(books().mutex);
  books().contexts.insert(device);
  return NewMemory(bytes, {device, true, of_pool ? nullptr : ContextOf(device)});
}

// The driver.

namespace {

CUresult Attributes(unsigned count, CUpointer_attribute* names, void** values, CUdeviceptr address) {
  const std::lock_guard<std::mutex> lock(books().mutex);
  const auto found = books().memory.find(static_cast<uintptr_t>(address));
  const bool known = found != books().memory.end();
  const Memory memory = known ? found->second : Memory{-2, false, nullptr};
  for (unsigned i = 0; i < count; ++i) {
    switch (names[i]) {
      case CU_POINTER_ATTRIBUTE_MEMORY_TYPE:
        *static_cast<CUmemorytype*>(values[i]) = !known             ? CUmemorytype{}
                                                 : memory.on_device ? CU_MEMORYTYPE_DEVICE
                                                                    : CU_MEMORYTYPE_HOST;
        break;
      case CU_POINTER_ATTRIBUTE_IS_MANAGED:
        *static_cast<unsigned*>(values[i]) = 0;
        break;
      case CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL:
        *static_cast<int*>(values[i]) = memory.device;
        break;
      case CU_POINTER_ATTRIBUTE_CONTEXT:
        *static_cast<CUcontext*>(values[i]) = memory.context;
        break;
      default:
        return CUDA_ERROR_INVALID_VALUE;
    }
  }
  return CUDA_SUCCESS;
}

CUresult Retain(CUcontext* context, CUdevice device) {
  const std::lock_guard<std::mutex> lock(books().mutex);
  books().contexts.insert(device);
  ++books().held;
  *context = ContextOf(device);
  return CUDA_SUCCESS;
}

CUresult Release(CUdevice) {
  const std::lock_guard<std::mutex> lock(books().mutex);
  --books().held;
  return CUDA_SUCCESS;
}

CUresult Push(CUcontext context) {
  const std::lock_guard<std::mutex> lock(books().mutex);
  const cudaError_t answer = Answer("cuCtxPushCurrent");
  if (answer == cudaSuccess) pushed.push_back(context);
  return static_cast<CUresult>(answer);
}

CUresult Pop(CUcontext* context) {
  *context = pushed.back();
  pushed.pop_back();
  return CUDA_SUCCESS;
}

}  // namespace

cudaError_t cudaGetDriverEntryPointByVersion(const char* name, void** function, unsigned, unsigned long long,
                                             cudaDriverEntryPointQueryResult* result) {
  static const std::map<std::string, void*> functions = {
      {"cuPointerGetAttributes", reinterpret_cast<void*>(Attributes)},
      {"cuDevicePrimaryCtxRetain", reinterpret_cast<void*>(Retain)},
      {"cuDevicePrimaryCtxRelease", reinterpret_cast<void*>(Release)},
      {"cuCtxPushCurrent", reinterpret_cast<void*>(Push)},
      {"cuCtxPopCurrent", reinterpret_cast<void*>(Pop)},
  };
  const auto found = functions.find(name);
  *function = found == functions.end() ? nullptr : found->second;
  *result = *function != nullptr ? cudaDriverEntryPointSuccess : cudaDriverEntryPointSymbolNotFound;
  return cudaSuccess;
}

// The runtime.

cudaError_t cudaDriverGetVersion(int* version) {
  *version = books().driver;
  return cudaSuccess;
}

cudaError_t cudaGetDeviceCount(int* count) {
  *count = kDevices;
  return cudaSuccess;
}

const char* cudaGetErrorName(cudaError_t error) {
  return error == cudaErrorNoKernelImageForDevice ? "cudaErrorNoKernelImageForDevice" : "cudaErrorOther";
}

const char* cudaGetErrorString(cudaError_t) { return "as the test has asked for"; }

cudaError_t cudaGetLastError() {
  const cudaError_t error = last_error;
  last_error = cudaSuccess;
  return error;
}

cudaError_t cudaGetDevice(int* device) {
  *device = Device();
  return cudaSuccess;
}

// The two that the library does without: they make a context on the device that is left, or come to.

cudaError_t cudaSetDevice(int device) {
  const std::lock_guard<std::mutex> lock(books().mutex);
  device_of_thread = device;
  return InContext("cudaSetDevice");
}

cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* attributes, const void* address) {
  const std::lock_guard<std::mutex> lock(books().mutex);
  const auto found = books().memory.find(reinterpret_cast<uintptr_t>(address));
  *attributes = {};
  if (found != books().memory.end()) {
    attributes->type = found->second.on_device ? cudaMemoryTypeDevice : cudaMemoryTypeHost;
    attributes->device = found->second.device;
  }
  return InContext("cudaPointerGetAttributes");
}

cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int) {
  *value = attribute == cudaDevAttrMultiProcessorCount      ? 132
           : attribute == cudaDevAttrComputeCapabilityMajor ? 8
           : attribute == cudaDevAttrComputeCapabilityMinor ? 6
                                                            : 0;
  return cudaSuccess;
}

cudaError_t cudaMalloc(void** address, size_t bytes) {
  const std::lock_guard<std::mutex> lock(books().mutex);
  const cudaError_t answer = Unsafe("cudaMalloc");
  if (answer == cudaSuccess) *address = NewMemory(bytes, {Device(), true, ContextOf(Device())});
  return answer;
}

cudaError_t cudaHostAlloc(void** address, size_t bytes, unsigned) {
  const std::lock_guard<std::mutex> lock(books().mutex);
  const cudaError_t answer = Unsafe("cudaHostAlloc");
  if (answer == cudaSuccess) *address = NewMemory(bytes, {Device(), false, ContextOf(Device())});
  return answer;
}

cudaError_t cudaFree(void* address) {
  const std::lock_guard<std::mutex> lock(books().mutex);
  return Free("cudaFree", address);
}

cudaError_t cudaFreeHost(void* address) {
  const std::lock_guard<std::mutex> lock(books().mutex);
  return Free("cudaFreeHost", address);
}

cudaError_t cudaHostGetDevicePointer(void** mapped, void* address, unsigned) {
  *mapped = address;
  return cudaSuccess;
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  const std::lock_guard<std::mutex> lock(books().mutex);
  *stream = reinterpret_cast<cudaStream_t>(0x5000);
  return Unsafe("cudaStreamCreate");
}

cudaError_t cudaMemsetAsync(void* address, int value, size_t bytes, cudaStream_t) {
  std::memset(address, value, bytes);
  return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t) { return cudaSuccess; }
cudaError_t cudaStreamDestroy(cudaStream_t) { return cudaSuccess; }

cudaError_t cudaStreamIsCapturing(cudaStream_t stream, cudaStreamCaptureStatus* status) {
  const std::lock_guard<std::mutex> lock(books().mutex);
  *status = books().captured.count(stream) ? cudaStreamCaptureStatusActive : cudaStreamCaptureStatusNone;
  return cudaSuccess;
}

cudaError_t cudaStreamGetId(cudaStream_t stream, unsigned long long* number) {
  *number = reinterpret_cast<uintptr_t>(stream);
  return cudaSuccess;
}

cudaError_t cudaThreadExchangeStreamCaptureMode(cudaStreamCaptureMode* mode) {
  std::swap(*mode, capture_mode);
  return cudaSuccess;
}

cudaError_t cudaFuncGetAttributes(cudaFuncAttributes*, const void* function) {
  const std::lock_guard<std::mutex> lock(books().mutex);
  books().contexts.insert(Device());
  const cudaError_t answer = Answer("cudaFuncGetAttributes");
  if (answer != cudaSuccess) return answer;
  if (!books().captured.empty() && capture_mode != cudaStreamCaptureModeRelaxed) {
    return last_error = cudaErrorStreamCaptureUnsupported;
  }
  books().loaded.insert({Device(), function});
  return cudaSuccess;
}

cudaError_t cudaLaunchKernel(const void* function, dim3 blocks, dim3, void** arguments, size_t,
                             cudaStream_t) {
  bool sleeps = false;
  {
    const std::lock_guard<std::mutex> lock(books().mutex);
    const std::string kernel = ShortName(books().kernels.at(function));
    books().contexts.insert(Device());
    const bool loads = books().loaded.insert({Device(), function}).second;
    if (loads && !books().captured.empty()) return last_error = cudaErrorStreamCaptureUnsupported;
    const cudaError_t answer = Answer("cudaLaunchKernel");
    if (answer != cudaSuccess) return answer;
    Write("launch " + kernel + Execute(kernel, arguments) + " blocks=" + std::to_string(blocks.x));
    sleeps = kernel == books().slow;
  }
  if (sleeps) std::this_thread::sleep_for(std::chrono::milliseconds(50));
  return cudaSuccess;
}

// What nvcc's code calls when the library is loaded.

extern "C" void __cudaRegisterFunction(void**, const char* function, char*, const char* name, int, uint3*,
                                       uint3*, dim3*, dim3*, int*) {
  books().kernels[function] = name;
}

extern "C" void** __cudaRegisterFatBinary(void*) {
  static void* handle;
  return &handle;
}

extern "C" void __cudaRegisterFatBinaryEnd(void**) {}
extern "C" void __cudaUnregisterFatBinary(void**) {}
extern "C" char __cudaInitModule(void**) { return 1; }

// Linked to, and never called: the kernels are launched by cudaLaunchKernel.
extern "C" int __cudaGetKernel(void*, const void*) { return cudaErrorNotSupported; }
extern "C" int __cudaLaunchKernel(void*, dim3, dim3, void**, size_t, void*) { return cudaErrorNotSupported; }
extern "C" int __cudaPopCallConfiguration(dim3*, dim3*, size_t*, void*) { return cudaErrorNotSupported; }
