// What stands for the device kernels in a library that is built without CUDA.
#include "cuda/device.h"
#include "cuda/kernels.h"

namespace ort_rrelu::cuda {
namespace {

constexpr const char* kAbsent =
    "this ort_rrelu was built without CUDA kernels: build it where nvcc of CUDA 12 or 13 is found "
    "(pip install -C cmake.define.ORT_RRELU_CUDA=ON .)";

}  // namespace

bool IsBuilt() { return false; }

std::string Facts() { return "null"; }

std::string CheckDriver() { return kAbsent; }

DeviceOf::DeviceOf(const char*, const void*, std::string& error) { error = kAbsent; }

DeviceOf::~DeviceOf() { static_cast<void>(before_); }

std::string Launch(const Forward&, const Source&, void*) { return kAbsent; }

std::string Launch(const Backward&, void*) { return kAbsent; }

std::string Launch(const ReserveBackward&, void*) { return kAbsent; }

}  // namespace ort_rrelu::cuda
