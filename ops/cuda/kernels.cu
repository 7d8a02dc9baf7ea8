// The device kernels and their launches.
#include <cuda_runtime_api.h>

#include <algorithm>
#include <atomic>

#include "cuda/context.h"
#include "cuda/device.h"
#include "cuda/kernels.h"
#include "cuda/loop.h"
#include "fault.h"
#include "reserve.h"

namespace ort_rrelu::cuda {
namespace {

constexpr int kThreads = 256;
static_assert(kThreads % kWarp == 0);
// Enough for the last of them to end together, few enough for a block's beginning not to count.
constexpr uint64_t kBlocksPerProcessor = 32;
// Blocks that must fit on a processor together, which limits the registers of each: with fewer registers some
// kernels would use local memory, with more there would be fewer loads in flight.
constexpr int kFittingBlocks = 2;
constexpr int kFittingBlocksAlone = 3;

__device__ __forceinline__ Thread ThisThread() {
  return {static_cast<uint64_t>(blockIdx.x) * kThreads + threadIdx.x,
          static_cast<uint64_t>(gridDim.x) * kThreads};
}

template <Mode kMode, Layout kLayout = Layout::kOneStep, class T>
__device__ __forceinline__ void Run(const Arrays<T>& arrays, const RunConstants<T>& run, const Work& work) {
  RunTiles<kMode, OwnLane<kShare<T>>, kLayout>(arrays, run, work, ThisThread());
  RunBlocks<kMode, kLayout>(arrays, run, work, ThisThread());
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
  return source.step != nullptr ? ReadStep(source.step, 0) : otherwise;
}

// Header and steps, by as many threads as there are.
__device__ void WriteStart(void* reserve, const ort_rrelu_params& params, uint64_t size,
                           const RowSteps& rows) {
  if (ThisThread().index == 0) WriteReserveHeader(reserve, MakeReserveHeader(params, size));
  for (uint64_t i = ThisThread().index; i < rows.count; i += ThisThread().count) {
    WriteReserveStep(reserve, i, ReadStep(rows.steps, i));
  }
}

// Most runs want Y alone: a kernel of its own computes nothing else.
template <Mode kMode, Layout kLayout, bool kAlone, class T>
__global__ void __launch_bounds__(kThreads, kAlone ? kFittingBlocksAlone : kFittingBlocks)
    ForwardKernel(Arrays<T> arrays, ort_rrelu_params params, const Source source, const Work work,
                  void* reserve, uint64_t size, const RowLayout layout) {
  if constexpr (kAlone) {
    arrays.noise = nullptr;
    arrays.reserve = nullptr;
  }
  if (source.seed != nullptr) params.seed = *source.seed;
  params.step = StepOf(source, params.step);
  Run<kMode, kLayout>(arrays, MakeRunConstants<T>(params, layout), work);
  if (!kAlone && reserve != nullptr && work.begin == 0) WriteStart(reserve, params, size, layout.rows);
}

template <class T>
__global__ void __launch_bounds__(kThreads) MultiplyKernel(const Arrays<T> arrays, const Work work) {
  Run<Mode::kMultiply>(arrays, RunConstants<T>{}, work);
}

template <class T>
__device__ void FillWithNaN(T* array, const Work& work) {
  const T nan = FromFloat<T>(__int_as_float(0x7FC00000));
  for (uint64_t i = work.begin + ThisThread().index; i < work.end; i += ThisThread().count) array[i] = nan;
}

template <Layout kLayout, class T>
__global__ void __launch_bounds__(kThreads, kFittingBlocks)
    ReserveKernel(const Arrays<T> arrays, const Work work, const void* reserve, int32_t dtype, uint64_t size,
                  ort_rrelu_fault* fault, const RowLayout layout) {
  const ReserveHeader header = ReadReserveHeader(reserve);
  const uint64_t rows = layout.rows.count;
  if (!HeaderFits<T>(header, dtype, size, rows) || !UnusedBitsAreZero(reserve, size, rows)) {
    FillWithNaN(arrays.y, work);
    if (fault != nullptr && ThisThread().index == 0) RaiseFault(*fault, header, dtype, size, rows);
    return;
  }
  const RunConstants<T> run = MakeRunConstants<T>(ParamsOf(header, {}), layout);
  if (header.training) {
    Run<Mode::kTrainBack, kLayout>(arrays, run, work);
  } else {
    Run<Mode::kEvaluateBack>(arrays, run, work);
  }
}

// Asking for what a kernel needs loads it, in the thread's context.
template <class... Parameters>
void LoadKernel(void (*kernel)(Parameters...)) {
  cudaFuncAttributes attributes{};
  CheckCuda(cudaFuncGetAttributes(&attributes, reinterpret_cast<const void*>(kernel)));
}

template <Layout kLayout, class T>
void LoadFor() {
  LoadKernel(ForwardKernel<Mode::kTrain, kLayout, true, T>);
  LoadKernel(ForwardKernel<Mode::kTrain, kLayout, false, T>);
  LoadKernel(ReserveKernel<kLayout, T>);
}

template <class T>
void LoadAll() {
  LoadKernel(Advance);
  LoadKernel(ForwardKernel<Mode::kEvaluate, Layout::kOneStep, true, T>);
  LoadKernel(ForwardKernel<Mode::kEvaluate, Layout::kOneStep, false, T>);
  LoadKernel(MultiplyKernel<T>);
  LoadFor<Layout::kOneStep, T>();
  LoadFor<Layout::kWholeBlocks, T>();
  LoadFor<Layout::kAnySize, T>();
}

// By type; a bit for each device.
using Devices = std::atomic<uint64_t>;
Devices loaded[ORT_RRELU_BFLOAT16 + 1];

// Blocks of a grid that has `threads` threads, or as many as keep the device busy; 0 where there is no work.
uint32_t BlocksFor(uint64_t threads) {
  int device = 0, processors = 0;
  CheckCuda(cudaGetDevice(&device));
  CheckCuda(cudaDeviceGetAttribute(&processors, cudaDevAttrMultiProcessorCount, device));
  const uint64_t most = static_cast<uint64_t>(std::max(processors, 1)) * kBlocksPerProcessor;
  return static_cast<uint32_t>(std::min((threads + kThreads - 1) / kThreads, most));
}

template <class... Parameters, class... Arguments>
void LaunchGrid(void (*kernel)(Parameters...), uint32_t blocks, void* stream, Arguments... arguments) {
  // By the kernel's own parameter types: a pointer to each is what CUDA takes.
  [&](Parameters... parameters) {
    void* pointers[] = {const_cast<void*>(static_cast<const void*>(&parameters))...};
    CheckCuda(cudaLaunchKernel(reinterpret_cast<const void*>(kernel), dim3(blocks), dim3(kThreads), pointers,
                               0, static_cast<cudaStream_t>(stream)));
  }(arguments...);
}

// A run counts even where there is nothing to draw for.
void Take(Source& source, uint32_t blocks, void* stream) {
  if (source.counter == nullptr || blocks == 1) return;
  void* pointers[] = {&source.counter, &source.taken};
  CheckCuda(cudaLaunchKernel(reinterpret_cast<const void*>(Advance), dim3(1), dim3(1), pointers, 0,
                             static_cast<cudaStream_t>(stream)));
  source.step = source.taken;
  source.counter = nullptr;
}

template <class T>
void LaunchFor(const ForwardCall& call, Source source, void* stream) {
  const Arrays<T> arrays = ArraysOf<T>(call);
  const Work work = MakeWork(arrays, call.range);
  const bool writes_header = call.reserve != nullptr && work.begin == 0;
  const uint32_t blocks = BlocksFor(std::max<uint64_t>(BusyThreads<T>(work), writes_header));
  Take(source, blocks, stream);
  if (blocks == 0) return;
  const RowLayout layout = MakeRowLayout(call.params, call.size);
  const auto launch = [&](auto kernel) {
    LaunchGrid(kernel, blocks, stream, arrays, call.params, source, work, call.reserve, call.size, layout);
  };
  const auto launch_for = [&](auto is_alone) {
    constexpr bool kAlone = decltype(is_alone)::value;
    if (!call.params.training) return launch(ForwardKernel<Mode::kEvaluate, Layout::kOneStep, kAlone, T>);
    WithLayout(layout.rows,
               [&](auto kind) { launch(ForwardKernel<Mode::kTrain, decltype(kind)::value, kAlone, T>); });
  };
  if (call.noise == nullptr && call.reserve == nullptr) return launch_for(std::true_type());
  launch_for(std::false_type());
}

template <class T>
void LaunchFor(const BackwardCall& call, void* stream) {
  const Arrays<T> arrays = ArraysOf<T>(call);
  const Work work = MakeWork(arrays, call.range);
  const uint32_t blocks = BlocksFor(BusyThreads<T>(work));
  if (blocks > 0) LaunchGrid(MultiplyKernel<T>, blocks, stream, arrays, work);
}

// Without elements too: the header is checked.
template <class T>
void LaunchFor(const ReserveBackwardCall& call, ort_rrelu_fault* fault, void* stream) {
  const Arrays<T> arrays = ArraysOf<T>(call);
  const Work work = MakeWork(arrays, call.range);
  const uint32_t blocks = BlocksFor(std::max<uint64_t>(BusyThreads<T>(work), 1));
  ort_rrelu_params params = call.params;
  params.rows = RowsOfReserve(call.reserve_bytes, call.size);
  params.steps = ReserveSteps(call.reserve);
  const RowLayout layout = MakeRowLayout(params, call.size);
  WithLayout(layout.rows, [&](auto kind) {
    LaunchGrid(ReserveKernel<decltype(kind)::value, T>, blocks, stream, arrays, work, call.reserve,
               call.params.dtype, call.size, fault, layout);
  });
}

}  // namespace

void Load(int32_t dtype) {
  int device = 0;
  CheckCuda(cudaGetDevice(&device));
  const uint64_t bit = device < 64 ? uint64_t{1} << device : 0;
  if ((loaded[dtype].load(std::memory_order_relaxed) & bit) != 0) return;
  const WhileCapturing allowed;
  WithElement(dtype, [](auto element) { LoadAll<decltype(element)>(); });
  loaded[dtype].fetch_or(bit, std::memory_order_relaxed);
}

void Launch(const ForwardCall& call, const Source& source, void* stream) {
  WithElement(call.params.dtype, [&](auto element) { LaunchFor<decltype(element)>(call, source, stream); });
}

void Launch(const BackwardCall& call, void* stream) {
  WithElement(call.params.dtype, [&](auto element) { LaunchFor<decltype(element)>(call, stream); });
}

void Launch(const ReserveBackwardCall& call, ort_rrelu_fault* fault, void* stream) {
  WithElement(call.params.dtype, [&](auto element) { LaunchFor<decltype(element)>(call, fault, stream); });
}

}  // namespace ort_rrelu::cuda
