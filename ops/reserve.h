// `reserve`: what RReluGrad needs, in one bit an element. A header, the steps of rows where they have some
// of their own, then bit i % 8 of byte i / 8 = (x[i] <= 0); the slopes are drawn again. Little-endian, the
// same bytes on every backend, at any address. ops/README.md has the table. What is wrong with one has its
// messages in check.cc, on the host.
#pragma once

#include <cstdint>
#include <cstring>

#include "element.h"
#include "rrelu.h"
#include "slope.h"

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the reserve is little-endian: this machine would have to swap its bytes"
#endif

namespace ort_rrelu {

struct ReserveHeader {
  uint32_t magic;
  uint32_t version;
  uint32_t dtype;
  uint32_t training;
  float lower;
  float upper;
  uint64_t seed;
  uint64_t step;
  uint64_t size;  // elements
  uint64_t rows;  // whose steps follow, in version 2; in version 1 it is 0
  uint64_t zero;
};
static_assert(sizeof(ReserveHeader) == 64);

inline constexpr uint32_t kReserveMagic = 0x6C657272;  // "rrel" in ASCII, low byte first
inline constexpr uint32_t kReserveVersion = 1;
inline constexpr uint32_t kReserveRowsVersion = 2;

// More rows than addresses could hold the steps of, with a header and bits.
inline constexpr uint64_t kMostRows = uint64_t{1} << 60;

// Rows with steps of their own: 0 where one step draws all of X, be it of one row.
ORT_RRELU_HD uint64_t OwnSteps(uint64_t rows) { return rows < 2 ? 0 : rows; }

// Where the bits begin.
ORT_RRELU_HD uint64_t BitsOffset(uint64_t rows) {
  return sizeof(ReserveHeader) + OwnSteps(rows) * sizeof(uint64_t);
}

// No size overflows, nor do rows below kMostRows: 64 + 2^63 + 2^61 is the most.
ORT_RRELU_HD uint64_t ReserveBytes(uint64_t size, uint64_t rows = 0) {
  return BitsOffset(rows) + size / 8 + (size % 8 != 0 ? 1 : 0);
}

// The rows that follow from the length of a reserve, which has passed CheckReserveBytes.
ORT_RRELU_HD uint64_t RowsOfReserve(uint64_t bytes, uint64_t size) {
  return (bytes - ReserveBytes(size)) / sizeof(uint64_t);
}

ORT_RRELU_HD ReserveHeader MakeReserveHeader(const ort_rrelu_params& params, uint64_t size) {
  const uint64_t rows = OwnSteps(params.rows);
  return {kReserveMagic,
          rows == 0 ? kReserveVersion : kReserveRowsVersion,
          static_cast<uint32_t>(params.dtype),
          static_cast<uint32_t>(params.training),
          params.lower,
          params.upper,
          params.seed,
          rows == 0 ? params.step : 0,
          size,
          rows,
          0};
}

// The parameters of the forward call that a header describes, without its steps; everything else of `call`
// stays.
ORT_RRELU_HD ort_rrelu_params ParamsOf(const ReserveHeader& header, ort_rrelu_params call) {
  call.dtype = static_cast<int32_t>(header.dtype);
  call.training = static_cast<int32_t>(header.training);
  call.lower = header.lower;
  call.upper = header.upper;
  call.seed = header.seed;
  call.step = header.step;
  call.rows = header.rows;
  return call;
}

// Where the steps of rows begin, and the bits of a whole reserve.
ORT_RRELU_HD const uint8_t* ReserveSteps(const void* reserve) {
  return static_cast<const uint8_t*>(reserve) + sizeof(ReserveHeader);
}
ORT_RRELU_HD uint8_t* ReserveBits(void* reserve, uint64_t rows = 0) {
  return reserve == nullptr ? nullptr : static_cast<uint8_t*>(reserve) + BitsOffset(rows);
}
ORT_RRELU_HD const uint8_t* ReserveBits(const void* reserve, uint64_t rows = 0) {
  return static_cast<const uint8_t*>(reserve) + BitsOffset(rows);
}

// A reserve may lie at any address.
ORT_RRELU_HD ReserveHeader ReadReserveHeader(const void* reserve) {
  ReserveHeader header;
#if defined(__CUDA_ARCH__)
  // A few wide loads where that is possible.
  if (reinterpret_cast<uintptr_t>(reserve) % alignof(ReserveHeader) == 0) {
    header = *static_cast<const ReserveHeader*>(reserve);
  } else {
    memcpy(&header, reserve, sizeof header);
  }
#else
  memcpy(&header, reserve, sizeof header);
#endif
  return header;
}

ORT_RRELU_HD void WriteReserveHeader(void* reserve, const ReserveHeader& header) {
#if defined(__CUDA_ARCH__)
  uint8_t bytes[sizeof header];
  memcpy(bytes, &header, sizeof header);
  for (uint64_t i = 0; i < sizeof header; ++i) static_cast<uint8_t*>(reserve)[i] = bytes[i];
#else
  memcpy(reserve, &header, sizeof header);
#endif
}

// One step of rows, at any address.
ORT_RRELU_HD uint64_t ReadStep(const void* steps, uint64_t row) {
  const uint8_t* at = static_cast<const uint8_t*>(steps) + row * sizeof(uint64_t);
  uint64_t step;
#if defined(__CUDA_ARCH__)
  if (reinterpret_cast<uintptr_t>(at) % alignof(uint64_t) == 0) return *reinterpret_cast<const uint64_t*>(at);
#endif
  memcpy(&step, at, sizeof step);
  return step;
}

ORT_RRELU_HD void WriteReserveStep(void* reserve, uint64_t row, uint64_t step) {
  uint8_t* at = static_cast<uint8_t*>(reserve) + sizeof(ReserveHeader) + row * sizeof step;
#if defined(__CUDA_ARCH__)
  for (uint64_t i = 0; i < sizeof step; ++i) at[i] = static_cast<uint8_t>(step >> (8 * i));
#else
  memcpy(at, &step, sizeof step);
#endif
}

// What the device raises in ort_rrelu_fault: the length of a reserve and the rows of its header disagree, or
// any other fault.
inline constexpr uint32_t kFault = 1;
inline constexpr uint32_t kRowsFault = 2;

// The rules of check.cc for the device, where they are a yes or a no: tests/cpp/cuda_grid.cc compares both.

// Not std::isfinite, which is for the host.
ORT_RRELU_HD bool IsFinite(double value) { return value - value == 0; }

template <class T>
ORT_RRELU_HD bool IsFiniteIn(float value) {
  return IsFinite(value) && IsFinite(ToWide(FromFloat<T>(value)));
}

// rows: what the length says.
template <class T>
ORT_RRELU_HD bool HeaderFits(const ReserveHeader& header, int32_t dtype, uint64_t size, uint64_t rows) {
  return header.magic == kReserveMagic &&
         header.version == (rows == 0 ? kReserveVersion : kReserveRowsVersion) &&
         header.dtype == static_cast<uint32_t>(dtype) && header.size == size && header.rows == rows &&
         (rows == 0 || header.step == 0) && header.zero == 0 && header.training <= 1 &&
         header.lower <= header.upper && IsFiniteIn<T>(header.lower) && IsFiniteIn<T>(header.upper) &&
         IsFiniteIn<T>(header.upper - header.lower);
}

// Of the last byte; the reserve is as long as `size` and `rows` ask for.
ORT_RRELU_HD bool UnusedBitsAreZero(const void* reserve, uint64_t size, uint64_t rows) {
  return size % 8 == 0 || ReserveBits(reserve, rows)[size / 8] >> (size % 8) == 0;
}

}  // namespace ort_rrelu
