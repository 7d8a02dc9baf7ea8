// The device that a call means, whether the driver can run this library's kernels, and CUDA's errors. A build
// without CUDA has all of it, and says so.
#pragma once

#include <string>

#include "cuda/context.h"

namespace ort_rrelu::cuda {

// What this build holds, as JSON for build_info; "null" without CUDA.
std::string Facts();
bool IsBuilt();

// Throws where the kernels cannot run here: no CUDA in this build, a driver that is too old, no device.
void CheckDriver();

// Throws unless a cudaError_t is cudaSuccess. (A build without CUDA does not know that type.)
void CheckCuda(int status);

// Whose the address is, of what is called `name`; throws where it is none of device memory.
Owner DeviceMemory(const char* name, const void* address);

// Throws where CUDA does not know the address: it knows memory of any device, and of the host what was taken
// by CUDA or registered with it.
void CheckKnown(const char* name, const void* address);

}  // namespace ort_rrelu::cuda
