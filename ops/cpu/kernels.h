// The CPU kernels, compiled for every instruction set and chosen at run time (Google Highway's dispatch).
// Parameters and pointers have been checked; ranges begin at multiples of 8.
#pragma once

#include <string>

#include "call.h"

namespace ort_rrelu {

// Elements of `range`, which is the call's or a chunk of it; the header of a reserve is not theirs.
// Subnormals are honoured. A backward call from a reserve has the params of its header. None of this throws.
void Run(const ForwardCall& call, Range range);
void Run(const BackwardCall& call, Range range);
void Run(const ReserveBackwardCall& call, Range range);

// The whole call, on up to params.num_threads threads (0: as many as the machine has): parallel.cc.
void RunOnThreads(const ForwardCall& call);
void RunOnThreads(const BackwardCall& call);
void RunOnThreads(const ReserveBackwardCall& call);

// The one in use, by Highway's name.
std::string InstructionSet();

}  // namespace ort_rrelu
