// The device kernels. Calls have been checked; what CUDA reports is thrown. A library that was built without
// CUDA throws always (device.cc).
#pragma once

#include <cstdint>

#include "call.h"
#include "rrelu.h"

namespace ort_rrelu::cuda {

// Where a run has its seed and step from, all in device memory. A counter gives its value to the run and
// moves on by one.
struct Source {
  const uint64_t* seed = nullptr;  // null: params.seed
  const uint64_t* step = nullptr;  // null: params.step; rows of params have steps of their own
  uint64_t* counter = nullptr;     // goes before step
  uint64_t* taken = nullptr;       // with a counter: where the run's step is kept while it lasts
};

// Loads the kernels of a type on the thread's device, at the first call for each. CUDA would do it at the
// first launch of each, which may fail while a stream is being captured.
void Load(int32_t dtype);

void Launch(const ForwardCall& call, const Source& source, void* stream);
void Launch(const BackwardCall& call, void* stream);
// fault: as the device sees it; may be null.
void Launch(const ReserveBackwardCall& call, ort_rrelu_fault* fault, void* stream);

}  // namespace ort_rrelu::cuda
