// The C API's calls on device memory.
#include <cstring>
#include <initializer_list>
#include <string>

#include "arguments.h"
#include "cuda/device.h"
#include "cuda/kernels.h"
#include "element.h"
#include "report.h"
#include "reserve.h"

namespace ort_rrelu {
namespace {

std::string CheckSizes(const ort_rrelu_params* params, const ort_rrelu_cuda* cuda) {
  if (std::string error = CheckSize(params); !error.empty()) return error;
  if (cuda == nullptr) return "cuda is null";
  if (cuda->struct_size == sizeof(ort_rrelu_cuda) && cuda->zero == 0) return "";
  return "cuda.struct_size=" + std::to_string(cuda->struct_size) +
         ", cuda.zero=" + std::to_string(cuda->zero) + ": this library expects " +
         std::to_string(sizeof(ort_rrelu_cuda)) + " and 0";
}

struct Address {
  const char* name;
  const void* data;  // of element 0
};

// The kernels read whole elements; the device stops a whole process that reads one at an odd address.
std::string CheckAligned(std::initializer_list<Address> addresses, uint64_t element_size) {
  for (const auto& [name, data] : addresses) {
    if (reinterpret_cast<uintptr_t>(data) % element_size != 0) {
      return std::string(name) + " is not aligned to its elements of " + std::to_string(element_size) +
             " bytes";
    }
  }
  return "";
}

// launch() on the device that holds the elements from `begin` on.
template <class F>
std::string LaunchOn(const Address& address, uint64_t begin, uint64_t element_size, F launch) {
  if (std::string error = cuda::CheckDriver(); !error.empty()) return error;
  const void* first =
      reinterpret_cast<const void*>(reinterpret_cast<uintptr_t>(address.data) + begin * element_size);
  std::string error;
  const cuda::DeviceOf device(address.name, first, error);
  return error.empty() ? launch() : error;
}

std::string CheckTask(const cuda::Forward& task) {
  const cuda::Elements& e = task.elements;
  const std::string error =
      CheckCall(ForwardCall{task.params, task.x, task.y, task.noise, task.reserve, e.size, {e.begin, e.end}});
  if (!error.empty()) return error;
  return CheckAligned({{"x", task.x}, {"y", task.y}, {"noise", task.noise}}, SizeOf(task.params.dtype));
}

std::string CheckTask(const ort_rrelu_params& params, const cuda::Backward& task) {
  const cuda::Elements& e = task.elements;
  const std::string error = CheckCall(BackwardCall{params, task.dy, task.noise, task.dx, {e.begin, e.end}});
  if (!error.empty()) return error;
  return CheckAligned({{"dy", task.dy}, {"noise", task.noise}, {"dx", task.dx}}, SizeOf(task.dtype));
}

std::string CheckTask(const ort_rrelu_params& params, const cuda::ReserveBackward& task,
                      uint64_t reserve_bytes) {
  const cuda::Elements& e = task.elements;
  const std::string error = CheckCall(
      ReserveBackwardCall{params, task.dy, task.reserve, reserve_bytes, task.dx, e.size, {e.begin, e.end}});
  if (!error.empty()) return error;
  return CheckAligned({{"dy", task.dy}, {"dx", task.dx}}, SizeOf(task.dtype));
}

// The tasks have been checked.
std::string Run(const cuda::Forward& task, const ort_rrelu_cuda& call) {
  const auto launch = [&] { return cuda::Launch(task, {call.seed, call.step}, call.stream); };
  const cuda::Elements& e = task.elements;
  if (e.begin != e.end) return LaunchOn({"x", task.x}, e.begin, SizeOf(task.params.dtype), launch);
  return task.reserve == nullptr ? "" : LaunchOn({"reserve", task.reserve}, 0, 1, launch);
}

std::string Run(const cuda::Backward& task, const ort_rrelu_cuda& call) {
  const cuda::Elements& e = task.elements;
  if (e.begin == e.end) return "";
  return LaunchOn({"dy", task.dy}, e.begin, SizeOf(task.dtype),
                  [&] { return cuda::Launch(task, call.stream); });
}

std::string Run(const cuda::ReserveBackward& task, const ort_rrelu_cuda& call) {
  return LaunchOn({"reserve", task.reserve}, 0, 1, [&] { return cuda::Launch(task, call.stream); });
}

}  // namespace
}  // namespace ort_rrelu

using ort_rrelu::CheckSizes;
using ort_rrelu::CheckTask;
using ort_rrelu::kFailed;
using ort_rrelu::Report;

int ort_rrelu_cuda_forward(const ort_rrelu_params* params, const ort_rrelu_cuda* cuda, const void* x, void* y,
                           void* noise, void* reserve, uint64_t size, uint64_t begin, uint64_t end,
                           char* message, size_t capacity) {
  std::string error = CheckSizes(params, cuda);
  if (!error.empty()) return Report(error, message, capacity);
  const ort_rrelu::cuda::Forward task = {*params, x, y, noise, reserve, {size, begin, end}};
  error = CheckTask(task);
  if (!error.empty()) return Report(error, message, capacity);
  return Report(ort_rrelu::Run(task, *cuda), message, capacity, kFailed);
}

int ort_rrelu_cuda_backward(const ort_rrelu_params* params, const ort_rrelu_cuda* cuda, const void* dy,
                            const void* noise, void* dx, uint64_t begin, uint64_t end, char* message,
                            size_t capacity) {
  std::string error = CheckSizes(params, cuda);
  if (!error.empty()) return Report(error, message, capacity);
  const ort_rrelu::cuda::Backward task = {params->dtype, dy, noise, dx, {end, begin, end}};
  error = CheckTask(*params, task);
  if (!error.empty()) return Report(error, message, capacity);
  return Report(ort_rrelu::Run(task, *cuda), message, capacity, kFailed);
}

int ort_rrelu_cuda_backward_reserve(const ort_rrelu_params* params, const ort_rrelu_cuda* cuda,
                                    const void* dy, const void* reserve, uint64_t reserve_bytes, void* dx,
                                    uint64_t size, uint64_t begin, uint64_t end, char* message,
                                    size_t capacity) {
  std::string error = CheckSizes(params, cuda);
  if (!error.empty()) return Report(error, message, capacity);
  const ort_rrelu::cuda::ReserveBackward task = {params->dtype,      dy,         reserve, dx,
                                                 {size, begin, end}, cuda->fault};
  error = CheckTask(*params, task, reserve_bytes);
  if (!error.empty()) return Report(error, message, capacity);
  return Report(ort_rrelu::Run(task, *cuda), message, capacity, kFailed);
}

int ort_rrelu_cuda_fault(ort_rrelu_fault* fault, char* message, size_t capacity) {
  if (fault == nullptr || *static_cast<volatile uint32_t*>(&fault->raised) == 0) return 0;
  const std::string error = ort_rrelu::CheckReserveFault(*fault);
  std::memset(fault, 0, sizeof *fault);
  return Report(error, message, capacity);
}
