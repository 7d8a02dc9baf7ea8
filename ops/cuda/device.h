// The device that a call means, and whether the driver can run this library's kernels.
#pragma once

#include <string>

namespace ort_rrelu::cuda {

// What this build holds, as JSON for build_info; "null" without CUDA.
std::string Facts();
bool IsBuilt();

// Why the kernels cannot run here, or "": no CUDA in this build, a driver that is too old, no device.
std::string CheckDriver();

// Makes the device of an address the thread's while it lives.
class DeviceOf {
 public:
  // `error` becomes what went wrong, or "". An address of no device memory is an error, that has `name`.
  DeviceOf(const char* name, const void* address, std::string& error);
  ~DeviceOf();
  DeviceOf(const DeviceOf&) = delete;
  DeviceOf& operator=(const DeviceOf&) = delete;

 private:
  int before_ = -1;
};

}  // namespace ort_rrelu::cuda
