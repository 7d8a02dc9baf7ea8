// The rules of the operator, of its parameters, calls and reserves: all that is refused, on every device.
// Each function throws an Error that names the argument, its value and what is allowed. Only the header and
// the last byte of a reserve are read; no other address is followed.
#pragma once

#include <cstdint>

#include "call.h"
#include "reserve.h"
#include "rrelu.h"

namespace ort_rrelu {

// The structs are there, and of a size that this library knows. Parameters as they were before there were
// rows are read as such without any.
ort_rrelu_params ReadStruct(const ort_rrelu_params* params);
void CheckStruct(const ort_rrelu_cuda* cuda);

// dtype, training and the bounds.
void CheckParams(const ort_rrelu_params& params);

// Parameters, addresses, ranges and sizes: all but what is in a reserve.
void CheckCall(const ForwardCall& call);
void CheckCall(const BackwardCall& call);
void CheckCall(const ReserveBackwardCall& call);

// Device code reads whole elements: its arrays must be aligned to them.
void CheckAligned(const ForwardCall& call);
void CheckAligned(const BackwardCall& call);
void CheckAligned(const ReserveBackwardCall& call);

// A reserve for `size` elements of dtype: what can be said of it without looking into it, then the header's
// fields, then all of it.
// rows: those that the length says.
void CheckReserveBytes(uint64_t bytes, uint64_t size);
void CheckReserveHeader(const ReserveHeader& header, int32_t dtype, uint64_t size, uint64_t rows);
void CheckReserve(const void* reserve, uint64_t bytes, int32_t dtype, uint64_t size);

// One that only the device has looked at: throws what it found wrong first since the last call.
void CheckFault(ort_rrelu_fault& fault);

}  // namespace ort_rrelu
