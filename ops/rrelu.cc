// The C API of rrelu.h, on host and on device memory: each function is a struct of its arguments, checked and
// run within the guard that keeps exceptions in. (ort_rrelu_build_info is in build_info.cc.)
#include "rrelu.h"

#include <cstdint>
#include <cstdio>
#include <exception>
#include <initializer_list>

#include "call.h"
#include "check.h"
#include "cpu/kernels.h"
#include "cuda/device.h"
#include "cuda/kernels.h"
#include "element.h"
#include "error.h"

namespace ort_rrelu {
namespace {

// Runs f(). Whatever it throws becomes the code and the message that a function of the C API gives.
template <class F>
int Guard(char* message, size_t capacity, const F& f) noexcept {
  const auto told = [&](int code, const char* text) {
    if (message != nullptr && capacity > 0) std::snprintf(message, capacity, "%s", text);
    return code;
  };
  try {
    f();
    return 0;
  } catch (const Error& error) {
    return told(error.code, error.message.c_str());
  } catch (const std::exception& error) {
    return told(kFailed, error.what());
  }
}

// On the CPU. The parameters' struct has been checked, and nothing else.

void Compute(ForwardCall& call) {
  CheckCall(call);
  if (call.params.rows == 1) call.params.step = ReadStep(call.params.steps, 0);
  if (call.reserve != nullptr && call.range.begin == 0) WriteReserveStart(call);
  RunOnThreads(call);
}

void Compute(const BackwardCall& call) {
  CheckCall(call);
  RunOnThreads(call);
}

void Compute(ReserveBackwardCall& call) {
  CheckCall(call);
  CheckReserve(call.reserve, call.reserve_bytes, call.params.dtype, call.size);
  ReadReserveStart(call);
  RunOnThreads(call);
}

// On CUDA. Both structs have been checked, and nothing else.

// Where the part of an array begins that a call takes. Null: there is no such array.
struct First {
  const char* name;
  const void* address;
};

First FirstOf(const char* name, const void* array, uint64_t offset = 0) {
  if (array == nullptr) return {name, nullptr};
  return {name, reinterpret_cast<const void*>(reinterpret_cast<uintptr_t>(array) + offset)};
}

// launch() on the device that holds the first of the arrays. One that CUDA does not know is refused: a kernel
// that reads there ends all that the process does on the device.
template <class F>
void LaunchOn(int32_t dtype, std::initializer_list<First> arrays, const F& launch) {
  cuda::CheckDriver();
  const First& first = *arrays.begin();
  const cuda::InContext context(cuda::DeviceMemory(first.name, first.address));
  for (const First& array : arrays) {
    if (array.address != nullptr && &array != &first) cuda::CheckKnown(array.name, array.address);
  }
  cuda::Load(dtype);
  launch();
}

void Compute(const ForwardCall& call, const ort_rrelu_cuda& cuda) {
  CheckCall(call);
  CheckAligned(call);
  const uint64_t rows = call.params.rows;
  const void* step = rows == 0 ? cuda.step : rows == 1 ? call.params.steps : nullptr;
  const cuda::Source source{cuda.seed, static_cast<const uint64_t*>(step)};
  const auto launch = [&] { cuda::Launch(call, source, cuda.stream); };
  const auto [begin, end] = call.range;
  const First reserve = FirstOf("reserve", call.reserve, begin == 0 ? 0 : ReserveBytes(begin, rows));
  const First seed = {"cuda.seed", cuda.seed}, one_step = {"cuda.step", rows == 0 ? cuda.step : nullptr};
  const First steps = {"params.steps", rows == 0 ? nullptr : call.params.steps};
  const uint64_t offset = begin * SizeOf(call.params.dtype);
  if (begin != end) {
    LaunchOn(call.params.dtype,
             {FirstOf("x", call.x, offset), FirstOf("y", call.y, offset),
              FirstOf("noise", call.noise, offset), reserve, seed, one_step, steps},
             launch);
  } else if (call.reserve != nullptr) {
    LaunchOn(call.params.dtype, {reserve, seed, one_step, steps}, launch);
  }
}

void Compute(const BackwardCall& call, const ort_rrelu_cuda& cuda) {
  CheckCall(call);
  CheckAligned(call);
  if (call.range.begin == call.range.end) return;
  const uint64_t offset = call.range.begin * SizeOf(call.params.dtype);
  LaunchOn(
      call.params.dtype,
      {FirstOf("dy", call.dy, offset), FirstOf("noise", call.noise, offset), FirstOf("dx", call.dx, offset)},
      [&] { cuda::Launch(call, cuda.stream); });
}

void Compute(const ReserveBackwardCall& call, const ort_rrelu_cuda& cuda) {
  CheckCall(call);
  CheckAligned(call);
  // No structured binding: in C++17 a lambda cannot capture one.
  const uint64_t begin = call.range.begin, end = call.range.end;
  const uint64_t offset = begin * SizeOf(call.params.dtype);
  const auto array = [&](const char* name, const void* data) {
    return FirstOf(name, begin == end ? nullptr : data, offset);
  };
  LaunchOn(call.params.dtype,
           {FirstOf("reserve", call.reserve), array("dy", call.dy), array("dx", call.dx),
            FirstOf("cuda.fault", cuda.fault)},
           [&] { cuda::Launch(call, cuda.fault, cuda.stream); });
}

}  // namespace
}  // namespace ort_rrelu

using ort_rrelu::CheckStruct;
using ort_rrelu::Compute;
using ort_rrelu::Guard;
using ort_rrelu::ReadStruct;

int32_t ort_rrelu_abi(void) { return ORT_RRELU_ABI; }

int ort_rrelu_check(const ort_rrelu_params* params, char* message, size_t capacity) {
  return Guard(message, capacity, [&] { ort_rrelu::CheckParams(ReadStruct(params)); });
}

uint64_t ort_rrelu_reserve_bytes(uint64_t size) { return ort_rrelu::ReserveBytes(size); }

uint64_t ort_rrelu_reserve_bytes_of_rows(uint64_t size, uint64_t rows) {
  return rows > ort_rrelu::kMostRows ? UINT64_MAX : ort_rrelu::ReserveBytes(size, rows);
}

int ort_rrelu_forward(const ort_rrelu_params* params, const void* x, void* y, void* noise, void* reserve,
                      uint64_t size, uint64_t begin, uint64_t end, char* message, size_t capacity) {
  return Guard(message, capacity, [&] {
    ort_rrelu::ForwardCall call{ReadStruct(params), x, y, noise, reserve, size, {begin, end}};
    Compute(call);
  });
}

int ort_rrelu_backward(const ort_rrelu_params* params, const void* dy, const void* noise, void* dx,
                       uint64_t begin, uint64_t end, char* message, size_t capacity) {
  return Guard(message, capacity,
               [&] { Compute(ort_rrelu::BackwardCall{ReadStruct(params), dy, noise, dx, {begin, end}}); });
}

int ort_rrelu_backward_reserve(const ort_rrelu_params* params, const void* dy, const void* reserve,
                               uint64_t reserve_bytes, void* dx, uint64_t size, uint64_t begin, uint64_t end,
                               char* message, size_t capacity) {
  return Guard(message, capacity, [&] {
    ort_rrelu::ReserveBackwardCall call{ReadStruct(params), dy, reserve, reserve_bytes, dx, size,
                                        {begin, end}};
    Compute(call);
  });
}

int ort_rrelu_cuda_forward(const ort_rrelu_params* params, const ort_rrelu_cuda* cuda, const void* x, void* y,
                           void* noise, void* reserve, uint64_t size, uint64_t begin, uint64_t end,
                           char* message, size_t capacity) {
  return Guard(message, capacity, [&] {
    CheckStruct(cuda);
    Compute(ort_rrelu::ForwardCall{ReadStruct(params), x, y, noise, reserve, size, {begin, end}}, *cuda);
  });
}

int ort_rrelu_cuda_backward(const ort_rrelu_params* params, const ort_rrelu_cuda* cuda, const void* dy,
                            const void* noise, void* dx, uint64_t begin, uint64_t end, char* message,
                            size_t capacity) {
  return Guard(message, capacity, [&] {
    CheckStruct(cuda);
    Compute(ort_rrelu::BackwardCall{ReadStruct(params), dy, noise, dx, {begin, end}}, *cuda);
  });
}

int ort_rrelu_cuda_backward_reserve(const ort_rrelu_params* params, const ort_rrelu_cuda* cuda,
                                    const void* dy, const void* reserve, uint64_t reserve_bytes, void* dx,
                                    uint64_t size, uint64_t begin, uint64_t end, char* message,
                                    size_t capacity) {
  return Guard(message, capacity, [&] {
    CheckStruct(cuda);
    Compute(
        ort_rrelu::ReserveBackwardCall{
            ReadStruct(params), dy, reserve, reserve_bytes, dx, size, {begin, end}},
        *cuda);
  });
}

int ort_rrelu_cuda_fault(ort_rrelu_fault* fault, char* message, size_t capacity) {
  return Guard(message, capacity, [&] {
    if (fault != nullptr) ort_rrelu::CheckFault(*fault);
  });
}
