#include "rrelu.h"

#include <cstdio>
#include <string>

#include "arguments.h"
#include "build_info.h"
#include "check.h"
#include "cpu/kernels.h"
#include "cpu/parallel.h"
#include "report.h"
#include "reserve.h"

namespace ort_rrelu {
namespace {

template <class Task>
void RunAll(const Task& task, Range range) {
  ParallelFor(
      range, task.params.num_threads,
      [](const void* context, uint64_t begin, uint64_t end) {
        Run(*static_cast<const Task*>(context), begin, end);
      },
      &task);
}

std::string Forward(ForwardTask task, void* reserve, uint64_t size, Range range) {
  std::string error = CheckCall(ForwardCall{task.params, task.x, task.y, task.noise, reserve, size, range});
  if (!error.empty()) return error;
  if (reserve != nullptr && range.begin == 0) {
    WriteReserveHeader(reserve, MakeReserveHeader(task.params, size));
  }
  task.reserve = ReserveBits(reserve);
  RunAll(task, range);
  return "";
}

std::string Backward(const BackwardTask& task, Range range) {
  const std::string error = CheckCall(BackwardCall{task.params, task.dy, task.noise, task.dx, range});
  if (error.empty()) RunAll(task, range);
  return error;
}

std::string BackwardFromReserve(ReserveBackwardTask task, const void* reserve, uint64_t reserve_bytes,
                                uint64_t size, Range range) {
  std::string error =
      CheckCall(ReserveBackwardCall{task.params, task.dy, reserve, reserve_bytes, task.dx, size, range});
  if (error.empty()) error = CheckReserve(reserve, reserve_bytes, task.params.dtype, size);
  if (!error.empty()) return error;
  task.params = ParamsOf(ReadReserveHeader(reserve), task.params);
  task.reserve = ReserveBits(reserve);
  RunAll(task, range);
  return "";
}

}  // namespace
}  // namespace ort_rrelu

using ort_rrelu::CheckSize;
using ort_rrelu::Report;

int32_t ort_rrelu_abi(void) { return ORT_RRELU_ABI; }

const char* ort_rrelu_build_info(void) {
  static const std::string info = ort_rrelu::BuildInfo();
  return info.c_str();
}

int ort_rrelu_check(const ort_rrelu_params* params, char* message, size_t capacity) {
  const std::string error = CheckSize(params);
  return Report(error.empty() ? ort_rrelu::CheckParams(*params) : error, message, capacity);
}

uint64_t ort_rrelu_reserve_bytes(uint64_t size) { return ort_rrelu::ReserveBytes(size); }

int ort_rrelu_forward(const ort_rrelu_params* params, const void* x, void* y, void* noise, void* reserve,
                      uint64_t size, uint64_t begin, uint64_t end, char* message, size_t capacity) {
  const std::string error = CheckSize(params);
  if (!error.empty()) return Report(error, message, capacity);
  return Report(ort_rrelu::Forward({*params, x, y, noise, nullptr}, reserve, size, {begin, end}), message,
                capacity);
}

int ort_rrelu_backward(const ort_rrelu_params* params, const void* dy, const void* noise, void* dx,
                       uint64_t begin, uint64_t end, char* message, size_t capacity) {
  const std::string error = CheckSize(params);
  if (!error.empty()) return Report(error, message, capacity);
  return Report(ort_rrelu::Backward({*params, dy, noise, dx}, {begin, end}), message, capacity);
}

int ort_rrelu_backward_reserve(const ort_rrelu_params* params, const void* dy, const void* reserve,
                               uint64_t reserve_bytes, void* dx, uint64_t size, uint64_t begin, uint64_t end,
                               char* message, size_t capacity) {
  const std::string error = CheckSize(params);
  if (!error.empty()) return Report(error, message, capacity);
  return Report(
      ort_rrelu::BackwardFromReserve({*params, dy, nullptr, dx}, reserve, reserve_bytes, size, {begin, end}),
      message, capacity);
}
