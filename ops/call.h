// The calls of the C API as structs, which go from the checks (check.h) to the kernels of every device, and
// the arrays that a kernel reads and writes for them.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "reserve.h"
#include "rrelu.h"

namespace ort_rrelu {

// Elements [begin, end), cut into chunks that begin at multiples of 8 where the range does.
inline constexpr uint64_t kChunk = uint64_t{1} << 15;
static_assert(kChunk % 8 == 0);

struct Range {
  uint64_t begin, end;
  uint64_t Chunks() const { return (end - begin + kChunk - 1) / kChunk; }
  Range Chunk(uint64_t index) const {
    const uint64_t first = begin + index * kChunk;
    return {first, std::min(first + kChunk, end)};
  }
};

// Rows of X with steps of their own, each of which is drawn as a tensor alone; none where one step draws all.
struct RowSteps {
  const void* steps;  // at any address
  uint64_t count;
  uint64_t size;  // elements of a row
};

inline RowSteps RowStepsOf(const ort_rrelu_params& params, uint64_t size) {
  const uint64_t count = OwnSteps(params.rows);
  return {params.steps, count, count == 0 ? size : size / count};
}

// Arrays begin at element 0 of a tensor of `size` elements, of which a call takes a range.
struct ForwardCall {
  ort_rrelu_params params;
  const void* x;
  void* y;
  void* noise;    // may be null
  void* reserve;  // may be null
  uint64_t size;
  Range range;
};

struct BackwardCall {
  ort_rrelu_params params;  // dtype and num_threads count
  const void* dy;
  const void* noise;
  void* dx;
  Range range;
};

struct ReserveBackwardCall {
  ort_rrelu_params params;  // dtype and num_threads count; the reserve has the rest
  const void* dy;
  const void* reserve;
  uint64_t reserve_bytes;
  void* dx;
  uint64_t size;
  Range range;
};

// What comes before the bits of a reserve, whole: header and steps.
inline void WriteReserveStart(const ForwardCall& call) {
  WriteReserveHeader(call.reserve, MakeReserveHeader(call.params, call.size));
  if (const RowSteps rows = RowStepsOf(call.params, call.size); rows.count > 0) {
    std::memcpy(static_cast<uint8_t*>(call.reserve) + sizeof(ReserveHeader), rows.steps,
                rows.count * sizeof(uint64_t));
  }
}

// The parameters of the forward call, of a reserve that has been checked.
inline void ReadReserveStart(ReserveBackwardCall& call) {
  call.params = ParamsOf(ReadReserveHeader(call.reserve), call.params);
  call.params.steps = ReserveSteps(call.reserve);
}

// What a kernel reads and writes, from element 0 on; null where it does not.
template <class T>
struct Arrays {
  const T* x = nullptr;  // forward: X, backward: dY
  T* y = nullptr;        // forward: Y, backward: dX
  const T* saved_noise = nullptr;
  T* noise = nullptr;
  const uint8_t* saved_reserve = nullptr;  // the bits, after the header
  uint8_t* reserve = nullptr;
};

template <class T>
Arrays<T> ArraysOf(const ForwardCall& call) {
  Arrays<T> arrays;
  arrays.x = static_cast<const T*>(call.x);
  arrays.y = static_cast<T*>(call.y);
  arrays.noise = static_cast<T*>(call.noise);
  arrays.reserve = ReserveBits(call.reserve, call.params.rows);
  return arrays;
}

template <class T>
Arrays<T> ArraysOf(const BackwardCall& call) {
  Arrays<T> arrays;
  arrays.x = static_cast<const T*>(call.dy);
  arrays.y = static_cast<T*>(call.dx);
  arrays.saved_noise = static_cast<const T*>(call.noise);
  return arrays;
}

template <class T>
Arrays<T> ArraysOf(const ReserveBackwardCall& call) {
  Arrays<T> arrays;
  arrays.x = static_cast<const T*>(call.dy);
  arrays.y = static_cast<T*>(call.dx);
  arrays.saved_reserve = ReserveBits(call.reserve, RowsOfReserve(call.reserve_bytes, call.size));
  return arrays;
}

}  // namespace ort_rrelu
