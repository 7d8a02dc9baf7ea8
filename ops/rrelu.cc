#include "rrelu.h"

#include <cstdio>
#include <initializer_list>
#include <string>

#include "build_info.h"
#include "check.h"
#include "cpu/element.h"
#include "cpu/kernels.h"
#include "cpu/parallel.h"
#include "reserve.h"

namespace ort_rrelu {
namespace {

int Report(const std::string& error, char* message, size_t capacity) {
  if (error.empty()) return 0;
  if (message != nullptr && capacity > 0) std::snprintf(message, capacity, "%s", error.c_str());
  return 1;
}

std::string CheckSize(const ort_rrelu_params* params) {
  if (params == nullptr) return "params is null";
  if (params->struct_size == sizeof(ort_rrelu_params)) return "";
  return "params.struct_size=" + std::to_string(params->struct_size) + ": this library expects " +
         std::to_string(sizeof(ort_rrelu_params));
}

std::string RangeText(Range range) {
  return "range [" + std::to_string(range.begin) + ", " + std::to_string(range.end) + ")";
}

std::string CheckRange(Range range) {
  if (range.begin % 8 == 0 && range.begin <= range.end) return "";
  return RangeText(range) + ": begin must be a multiple of 8, and at most end";
}

// Two calls never write bits of one byte of a reserve.
std::string CheckRange(Range range, uint64_t size) {
  if (std::string error = CheckRange(range); !error.empty()) return error;
  if (range.end == size || (range.end % 8 == 0 && range.end < size)) return "";
  return RangeText(range) + " of " + std::to_string(size) +
         " elements: end must be a multiple of 8, or the number of elements";
}

// The part of an argument that a call may touch.
struct Array {
  const char* name;
  const void* data;
  uint64_t offset, bytes;
  uintptr_t Begin() const { return reinterpret_cast<uintptr_t>(data) + offset; }
  uintptr_t End() const { return Begin() + bytes; }
};

// dtype has passed CheckDtype.
Array Elements(const char* name, const void* data, Range range, int32_t dtype) {
  const uint64_t size = WithElement(dtype, [](auto element) { return sizeof(element); });
  return {name, data, range.begin * size, (range.end - range.begin) * size};
}

// What backward reads, and what forward writes: the bits of a range, and the header in the first.
Array WholeReserve(const void* data, uint64_t size) { return {"reserve", data, 0, ReserveBytes(size)}; }

Array PartOfReserve(const void* data, Range range) {
  const uint64_t offset = range.begin == 0 ? 0 : ReserveBytes(range.begin);
  return {"reserve", data, offset, ReserveBytes(range.end) - offset};
}

std::string CheckPresent(const Array& array) {
  if (array.data != nullptr || array.bytes == 0) return "";
  return std::string(array.name) + " is null";
}

bool Overlap(const Array& a, const Array& b) {
  if (a.data == nullptr || b.data == nullptr || a.bytes == 0 || b.bytes == 0) return false;
  return a.Begin() < b.End() && b.Begin() < a.End();
}

std::string OverlapText(const Array& a, const Array& b, const char* rule) {
  return std::string(a.name) + " overlaps " + b.name + ": it must be " + rule;
}

std::string CheckApart(const Array& a, const Array& b) {
  return Overlap(a, b) ? OverlapText(a, b, "apart") : "";
}

std::string CheckSameOrApart(const Array& a, const Array& b) {
  if (a.data == b.data || !Overlap(a, b)) return "";
  return OverlapText(a, b, "the same array or apart");
}

std::string FirstError(std::initializer_list<std::string> errors) {
  for (const std::string& error : errors) {
    if (!error.empty()) return error;
  }
  return "";
}

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
  const int32_t dtype = task.params.dtype;
  if (std::string error = FirstError({CheckParams(task.params), CheckRange(range, size)}); !error.empty()) {
    return error;
  }
  const Array x = Elements("x", task.x, range, dtype);
  const Array y = Elements("y", task.y, range, dtype);
  const Array noise = Elements("noise", task.noise, range, dtype);
  const Array saved = PartOfReserve(reserve, range);
  std::string error = FirstError({CheckPresent(x), CheckPresent(y), CheckSameOrApart(y, x),
                                  CheckApart(noise, x), CheckApart(noise, y), CheckApart(saved, x),
                                  CheckApart(saved, y), CheckApart(saved, noise)});
  if (!error.empty()) return error;
  if (reserve != nullptr && range.begin == 0) {
    WriteReserveHeader(reserve, MakeReserveHeader(task.params, size));
  }
  task.reserve = ReserveBits(reserve);
  RunAll(task, range);
  return "";
}

std::string Backward(const BackwardTask& task, Range range) {
  const int32_t dtype = task.params.dtype;
  if (std::string error = FirstError({CheckDtype(dtype), CheckRange(range)}); !error.empty()) return error;
  const Array dy = Elements("dy", task.dy, range, dtype);
  const Array noise = Elements("noise", task.noise, range, dtype);
  const Array dx = Elements("dx", task.dx, range, dtype);
  std::string error = FirstError({CheckPresent(dy), CheckPresent(noise), CheckPresent(dx),
                                  CheckSameOrApart(dx, dy), CheckSameOrApart(dx, noise)});
  if (error.empty()) RunAll(task, range);
  return error;
}

std::string BackwardFromReserve(ReserveBackwardTask task, const void* reserve, uint64_t reserve_bytes,
                                uint64_t size, Range range) {
  const int32_t dtype = task.params.dtype;
  if (std::string error = FirstError({CheckDtype(dtype), CheckRange(range, size)}); !error.empty()) {
    return error;
  }
  const Array dy = Elements("dy", task.dy, range, dtype);
  const Array dx = Elements("dx", task.dx, range, dtype);
  const Array saved = WholeReserve(reserve, size);
  std::string error = FirstError({CheckPresent(dy), CheckPresent(saved), CheckPresent(dx),
                                  CheckSameOrApart(dx, dy), CheckApart(dx, saved)});
  if (error.empty()) error = CheckReserve(reserve, reserve_bytes, dtype, size);
  if (!error.empty()) return error;
  task.params = ParamsOf(ReadReserveHeader(reserve), task.params);
  task.reserve = ReserveBits(reserve);
  RunAll(task, range);
  return "";
}

}  // namespace
}  // namespace ort_rrelu

using ort_rrelu::Report;

int32_t ort_rrelu_abi(void) { return ORT_RRELU_ABI; }

const char* ort_rrelu_build_info(void) {
  static const std::string info = ort_rrelu::BuildInfo();
  return info.c_str();
}

int ort_rrelu_check(const ort_rrelu_params* params, char* message, size_t capacity) {
  const std::string error = ort_rrelu::CheckSize(params);
  return Report(error.empty() ? ort_rrelu::CheckParams(*params) : error, message, capacity);
}

uint64_t ort_rrelu_reserve_bytes(uint64_t size) { return ort_rrelu::ReserveBytes(size); }

int ort_rrelu_forward(const ort_rrelu_params* params, const void* x, void* y, void* noise, void* reserve,
                      uint64_t size, uint64_t begin, uint64_t end, char* message, size_t capacity) {
  const std::string error = ort_rrelu::CheckSize(params);
  if (!error.empty()) return Report(error, message, capacity);
  return Report(ort_rrelu::Forward({*params, x, y, noise, nullptr}, reserve, size, {begin, end}), message,
                capacity);
}

int ort_rrelu_backward(const ort_rrelu_params* params, const void* dy, const void* noise, void* dx,
                       uint64_t begin, uint64_t end, char* message, size_t capacity) {
  const std::string error = ort_rrelu::CheckSize(params);
  if (!error.empty()) return Report(error, message, capacity);
  return Report(ort_rrelu::Backward({*params, dy, noise, dx}, {begin, end}), message, capacity);
}

int ort_rrelu_backward_reserve(const ort_rrelu_params* params, const void* dy, const void* reserve,
                               uint64_t reserve_bytes, void* dx, uint64_t size, uint64_t begin, uint64_t end,
                               char* message, size_t capacity) {
  const std::string error = ort_rrelu::CheckSize(params);
  if (!error.empty()) return Report(error, message, capacity);
  return Report(
      ort_rrelu::BackwardFromReserve({*params, dy, nullptr, dx}, reserve, reserve_bytes, size, {begin, end}),
      message, capacity);
}
