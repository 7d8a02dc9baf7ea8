// cudaError_t as text.
#pragma once

#include <cuda_runtime_api.h>

#include <string>

namespace ort_rrelu::cuda {

inline std::string ErrorOf(cudaError_t status) {
  if (status == cudaSuccess) return "";
  return std::string("CUDA: ") + cudaGetErrorName(status) + ": " + cudaGetErrorString(status);
}

}  // namespace ort_rrelu::cuda
