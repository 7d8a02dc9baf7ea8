// What is wrong with the addresses, ranges and sizes of a call, or "": the same rules on the CPU and on CUDA.
// No address is followed.
#pragma once

#include <cstdint>
#include <string>

#include "cpu/parallel.h"
#include "rrelu.h"

namespace ort_rrelu {

// Elements [range.begin, range.end) of a tensor of `size`.
struct ForwardCall {
  const ort_rrelu_params& params;
  const void* x;
  const void* y;
  const void* noise;
  const void* reserve;
  uint64_t size;
  Range range;
};

struct BackwardCall {
  const ort_rrelu_params& params;
  const void* dy;
  const void* noise;
  const void* dx;
  Range range;
};

struct ReserveBackwardCall {
  const ort_rrelu_params& params;
  const void* dy;
  const void* reserve;
  uint64_t reserve_bytes;
  const void* dx;
  uint64_t size;
  Range range;
};

std::string CheckSize(const ort_rrelu_params* params);
std::string CheckCall(const ForwardCall& call);
std::string CheckCall(const BackwardCall& call);
// All but what is in the reserve.
std::string CheckCall(const ReserveBackwardCall& call);

}  // namespace ort_rrelu
