#include <cuda_runtime_api.h>

#include <algorithm>

#include "cuda/kernels.h"
#include "cuda/loop.h"
#include "cuda/saved.h"
#include "cuda/status.h"

namespace ort_rrelu::cuda {
namespace {

constexpr int kThreads = 256;
static_assert(kThreads % kWarp == 0);
// Enough for the last of them to end together, few enough for a block's beginning not to count.
constexpr uint64_t kBlocksPerProcessor = 32;

__device__ __forceinline__ Thread ThisThread() {
  return {static_cast<uint64_t>(blockIdx.x) * kThreads + threadIdx.x,
          static_cast<uint64_t>(gridDim.x) * kThreads};
}

template <Mode kMode, class T>
__device__ __forceinline__ void Run(const Arrays<T>& arrays, const Draw<T>& draw, const Work& work) {
  RunTiles<kMode, OwnLane<kShare<T>>>(arrays, draw, work, ThisThread());
  RunBlocks<kMode>(arrays, draw, work, ThisThread());
}

__device__ __forceinline__ uint64_t TakeFrom(uint64_t* counter) {
  static_assert(sizeof(unsigned long long) == sizeof(uint64_t));
  return atomicAdd(reinterpret_cast<unsigned long long*>(counter), 1ull);
}

// Before the kernel of a run that has many blocks, which must all have one step.
__global__ void Advance(uint64_t* counter, uint64_t* taken) { *taken = TakeFrom(counter); }

// A counter comes with a grid of one block.
__device__ __forceinline__ uint64_t StepOf(const Source& source, uint64_t otherwise) {
  if (source.counter != nullptr) {
    __shared__ uint64_t step;
    if (threadIdx.x == 0) step = TakeFrom(source.counter);
    __syncthreads();
    return step;
  }
  return source.step != nullptr ? *source.step : otherwise;
}

template <Mode kMode, class T>
__global__ void __launch_bounds__(kThreads)
    ForwardKernel(const Arrays<T> arrays, ort_rrelu_params params, const Source source, const Work work,
                  void* reserve, uint64_t size) {
  if (source.seed != nullptr) params.seed = *source.seed;
  params.step = StepOf(source, params.step);
  Run<kMode>(arrays, MakeDraw<T>(params), work);
  if (reserve != nullptr && work.begin == 0 && ThisThread().index == 0) {
    StoreHeader(reserve, MakeReserveHeader(params, size));
  }
}

template <class T>
__global__ void __launch_bounds__(kThreads) MultiplyKernel(const Arrays<T> arrays, const Work work) {
  Run<Mode::kMultiply>(arrays, Draw<T>{}, work);
}

template <class T>
__device__ void FillWithNaN(T* array, const Work& work) {
  const T nan = FromFloat<T>(__int_as_float(0x7FC00000));
  for (uint64_t i = work.begin + ThisThread().index; i < work.end; i += ThisThread().count) array[i] = nan;
}

__device__ void Raise(ort_rrelu_fault* fault, const ReserveHeader& header, int32_t dtype, uint64_t size) {
  if (fault == nullptr || ThisThread().index != 0) return;
  memcpy(fault->header, &header, sizeof header);
  fault->dtype = dtype;
  fault->size = size;
  __threadfence_system();
  *const_cast<volatile uint32_t*>(&fault->raised) = 1;
}

template <class T>
__global__ void __launch_bounds__(kThreads)
    ReserveKernel(const Arrays<T> arrays, const Work work, const void* reserve, int32_t dtype, uint64_t size,
                  ort_rrelu_fault* fault) {
  const ReserveHeader header = LoadHeader(reserve);
  if (!HeaderFits<T>(header, dtype, size) || !UnusedBitsAreZero(reserve, size)) {
    FillWithNaN(arrays.y, work);
    Raise(fault, header, dtype, size);
    return;
  }
  const Draw<T> draw = MakeDraw<T>(ParamsOf(header, {}));
  if (header.training) {
    Run<Mode::kTrainBack>(arrays, draw, work);
  } else {
    Run<Mode::kEvaluateBack>(arrays, draw, work);
  }
}

// A grid that has `threads` threads, or as many as keep the device busy; *blocks is 0 where there is no work.
std::string GridFor(uint64_t threads, uint32_t* blocks) {
  int device = 0, processors = 0;
  std::string error = ErrorOf(cudaGetDevice(&device));
  if (error.empty()) {
    error = ErrorOf(cudaDeviceGetAttribute(&processors, cudaDevAttrMultiProcessorCount, device));
  }
  const uint64_t most = static_cast<uint64_t>(std::max(processors, 1)) * kBlocksPerProcessor;
  *blocks = static_cast<uint32_t>(std::min((threads + kThreads - 1) / kThreads, most));
  return error;
}

template <class... Parameters, class... Arguments>
std::string LaunchGrid(void (*kernel)(Parameters...), uint32_t blocks, void* stream, Arguments... arguments) {
  // By the kernel's own parameter types: a pointer to each is what CUDA takes.
  return [&](Parameters... parameters) {
    void* pointers[] = {const_cast<void*>(static_cast<const void*>(&parameters))...};
    return ErrorOf(cudaLaunchKernel(reinterpret_cast<const void*>(kernel), dim3(blocks), dim3(kThreads),
                                    pointers, 0, static_cast<cudaStream_t>(stream)));
  }(arguments...);
}

// A run counts even where there is nothing to draw for.
std::string Take(Source& source, uint32_t blocks, void* stream) {
  if (source.counter == nullptr || blocks == 1) return "";
  void* pointers[] = {&source.counter, &source.taken};
  const std::string error = ErrorOf(cudaLaunchKernel(reinterpret_cast<const void*>(Advance), dim3(1), dim3(1),
                                                     pointers, 0, static_cast<cudaStream_t>(stream)));
  source.step = source.taken;
  source.counter = nullptr;
  return error;
}

template <class T>
std::string LaunchForward(const Forward& task, Source source, void* stream) {
  const Arrays<T> arrays = {
      static_cast<const T*>(task.x), static_cast<T*>(task.y), nullptr, static_cast<T*>(task.noise), nullptr,
      ReserveBits(task.reserve)};
  const Work work = MakeWork(arrays, task.elements.begin, task.elements.end);
  const bool writes_header = task.reserve != nullptr && work.begin == 0;
  uint32_t blocks = 0;
  std::string error = GridFor(std::max<uint64_t>(BusyThreads<T>(work), writes_header), &blocks);
  if (error.empty()) error = Take(source, blocks, stream);
  if (!error.empty() || blocks == 0) return error;
  const auto kernel =
      task.params.training ? ForwardKernel<Mode::kTrain, T> : ForwardKernel<Mode::kEvaluate, T>;
  return LaunchGrid(kernel, blocks, stream, arrays, task.params, source, work, task.reserve,
                    task.elements.size);
}

template <class T>
std::string LaunchBackward(const Backward& task, void* stream) {
  const Arrays<T> arrays = {static_cast<const T*>(task.dy),
                            static_cast<T*>(task.dx),
                            static_cast<const T*>(task.noise),
                            nullptr,
                            nullptr,
                            nullptr};
  const Work work = MakeWork(arrays, task.elements.begin, task.elements.end);
  uint32_t blocks = 0;
  const std::string error = GridFor(BusyThreads<T>(work), &blocks);
  if (!error.empty() || blocks == 0) return error;
  return LaunchGrid(MultiplyKernel<T>, blocks, stream, arrays, work);
}

// Without elements too: the header is checked.
template <class T>
std::string LaunchReserveBackward(const ReserveBackward& task, void* stream) {
  const Arrays<T> arrays = {static_cast<const T*>(task.dy),
                            static_cast<T*>(task.dx),
                            nullptr,
                            nullptr,
                            ReserveBits(task.reserve),
                            nullptr};
  const Work work = MakeWork(arrays, task.elements.begin, task.elements.end);
  uint32_t blocks = 0;
  const std::string error = GridFor(std::max<uint64_t>(BusyThreads<T>(work), 1), &blocks);
  if (!error.empty()) return error;
  return LaunchGrid(ReserveKernel<T>, blocks, stream, arrays, work, task.reserve, task.dtype,
                    task.elements.size, task.fault);
}

}  // namespace

std::string Launch(const Forward& task, const Source& source, void* stream) {
  return WithElement(task.params.dtype,
                     [&](auto element) { return LaunchForward<decltype(element)>(task, source, stream); });
}

std::string Launch(const Backward& task, void* stream) {
  return WithElement(task.dtype,
                     [&](auto element) { return LaunchBackward<decltype(element)>(task, stream); });
}

std::string Launch(const ReserveBackward& task, void* stream) {
  return WithElement(task.dtype,
                     [&](auto element) { return LaunchReserveBackward<decltype(element)>(task, stream); });
}

}  // namespace ort_rrelu::cuda
