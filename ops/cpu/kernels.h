// The CPU kernels, compiled for every instruction set and chosen at run time (Google Highway's dispatch).
// Parameters and pointers have been checked; ranges begin at multiples of 8.
#pragma once

#include <cstdint>
#include <string>

#include "rrelu.h"

namespace ort_rrelu {

struct ForwardTask {
  ort_rrelu_params params;
  const void* x;
  void* y;
  void* noise;       // may be null
  uint8_t* reserve;  // the bits, after the header; may be null
};

struct BackwardTask {
  ort_rrelu_params params;
  const void* dy;
  const void* noise;
  void* dx;
};

struct ReserveBackwardTask {
  ort_rrelu_params params;  // those of the reserve's header
  const void* dy;
  const uint8_t* reserve;  // the bits, after the header
  void* dx;
};

// Elements [begin, end). Subnormals are honoured.
void Run(const ForwardTask& task, uint64_t begin, uint64_t end);
void Run(const BackwardTask& task, uint64_t begin, uint64_t end);
void Run(const ReserveBackwardTask& task, uint64_t begin, uint64_t end);

std::string InstructionSet();

}  // namespace ort_rrelu
