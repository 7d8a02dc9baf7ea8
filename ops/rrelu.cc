#include "rrelu.h"

#include <cstdio>
#include <initializer_list>
#include <string>

#include "build_info.h"
#include "check.h"
#include "cpu/element.h"
#include "cpu/kernels.h"
#include "cpu/parallel.h"

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

std::string CheckRange(uint64_t begin, uint64_t end) {
  if (begin % 8 == 0 && begin <= end) return "";
  return "range [" + std::to_string(begin) + ", " + std::to_string(end) +
         "): begin must be a multiple of 8, and at most end";
}

struct Array {
  const char* name;
  const void* data;
};

std::string CheckPresent(Array array, Range range) {
  if (array.data != nullptr || range.begin == range.end) return "";
  return std::string(array.name) + " is null";
}

bool Overlap(Array a, Array b, Range range, uint64_t element_size) {
  if (a.data == nullptr || b.data == nullptr || range.begin == range.end) return false;
  const auto first = reinterpret_cast<uintptr_t>(a.data);
  const auto second = reinterpret_cast<uintptr_t>(b.data);
  const uint64_t bytes = (range.end - range.begin) * element_size;
  return first < second ? second - first < bytes : first - second < bytes;
}

std::string CheckDisjoint(Array a, Array b, bool may_be_same, Range range, int32_t dtype) {
  if (may_be_same && a.data == b.data) return "";
  const uint64_t size = WithElement(dtype, [](auto element) { return sizeof(element); });
  if (!Overlap(a, b, range, size)) return "";
  return std::string(a.name) + " overlaps " + b.name +
         (may_be_same ? ": it must be the same array or apart" : ": it must be apart");
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

std::string Forward(const ForwardTask& task, uint64_t begin, uint64_t end) {
  const Array x{"x", task.x}, y{"y", task.y}, noise{"noise", task.noise};
  if (std::string error = FirstError({CheckParams(task.params), CheckRange(begin, end)}); !error.empty()) {
    return error;
  }
  const Range range{begin, end};
  const int32_t dtype = task.params.dtype;
  std::string error = FirstError(
      {CheckPresent(x, range), CheckPresent(y, range), CheckDisjoint(y, x, true, range, dtype),
       CheckDisjoint(noise, x, false, range, dtype), CheckDisjoint(noise, y, false, range, dtype)});
  if (error.empty()) RunAll(task, range);
  return error;
}

std::string Backward(const BackwardTask& task, uint64_t begin, uint64_t end) {
  const Array dy{"dy", task.dy}, noise{"noise", task.noise}, dx{"dx", task.dx};
  const int32_t dtype = task.params.dtype;
  if (std::string error = FirstError({CheckDtype(dtype), CheckRange(begin, end)}); !error.empty()) {
    return error;
  }
  const Range range{begin, end};
  std::string error =
      FirstError({CheckPresent(dy, range), CheckPresent(noise, range), CheckPresent(dx, range),
                  CheckDisjoint(dx, dy, true, range, dtype), CheckDisjoint(dx, noise, true, range, dtype)});
  if (error.empty()) RunAll(task, range);
  return error;
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

int ort_rrelu_forward(const ort_rrelu_params* params, const void* x, void* y, void* noise, uint64_t begin,
                      uint64_t end, char* message, size_t capacity) {
  const std::string error = ort_rrelu::CheckSize(params);
  if (!error.empty()) return Report(error, message, capacity);
  return Report(ort_rrelu::Forward({*params, x, y, noise, nullptr}, begin, end), message, capacity);
}

int ort_rrelu_backward(const ort_rrelu_params* params, const void* dy, const void* noise, void* dx,
                       uint64_t begin, uint64_t end, char* message, size_t capacity) {
  const std::string error = ort_rrelu::CheckSize(params);
  if (!error.empty()) return Report(error, message, capacity);
  return Report(ort_rrelu::Backward({*params, dy, noise, dx}, begin, end), message, capacity);
}
