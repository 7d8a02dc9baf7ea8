// The calls of ops/cuda/kernels.h for Python. Addresses are the simulated device's: nothing here reads them.
#include <cstdlib>

#include "call.h"
#include "cuda/device.h"
#include "cuda/kernels.h"

namespace ort_rrelu::cuda {
void CheckCuda(int status) {
  if (status != 0) std::abort();
}

// Of loading kernels, which nothing here does.
WhileCapturing::WhileCapturing() : mode_(0) {}
WhileCapturing::~WhileCapturing() { static_cast<void>(mode_); }
}  // namespace ort_rrelu::cuda

using namespace ort_rrelu;

extern "C" void launch_forward(const ort_rrelu_params* params, const cuda::Source* source, const void* x,
                               void* y, void* noise, void* reserve, uint64_t size, uint64_t begin,
                               uint64_t end) {
  cuda::Launch(ForwardCall{*params, x, y, noise, reserve, size, {begin, end}}, *source, nullptr);
}

extern "C" void launch_backward(const ort_rrelu_params* params, const void* dy, const void* noise, void* dx,
                                uint64_t begin, uint64_t end) {
  cuda::Launch(BackwardCall{*params, dy, noise, dx, {begin, end}}, nullptr);
}

// steps: not read by the launch; the reserve has them.
extern "C" void launch_backward_reserve(const ort_rrelu_params* params, ort_rrelu_fault* fault,
                                        const void* dy, const void* reserve, uint64_t reserve_bytes, void* dx,
                                        uint64_t size, uint64_t begin, uint64_t end) {
  cuda::Launch(ReserveBackwardCall{*params, dy, reserve, reserve_bytes, dx, size, {begin, end}}, fault,
               nullptr);
}
