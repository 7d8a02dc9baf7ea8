// `reserve`: what RReluGrad needs, in one bit an element. A header, then bit i % 8 of byte i / 8 = (x[i] <=
// 0); the slopes are drawn again. Little-endian, the same bytes on every backend. ops/README.md has the
// table. What is wrong with one has its messages in check.cc, on the host.
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
  uint64_t zeros[2];
};
static_assert(sizeof(ReserveHeader) == 64);

inline constexpr uint32_t kReserveMagic = 0x6C657272;  // "rrel" in ASCII, low byte first
inline constexpr uint32_t kReserveVersion = 1;

// No size overflows: 64 + 2^61 is the most.
ORT_RRELU_HD uint64_t ReserveBytes(uint64_t size) {
  return sizeof(ReserveHeader) + size / 8 + (size % 8 != 0 ? 1 : 0);
}

ORT_RRELU_HD ReserveHeader MakeReserveHeader(const ort_rrelu_params& params, uint64_t size) {
  return {kReserveMagic,
          kReserveVersion,
          static_cast<uint32_t>(params.dtype),
          static_cast<uint32_t>(params.training),
          params.lower,
          params.upper,
          params.seed,
          params.step,
          size,
          {0, 0}};
}

// The parameters of the forward call that a header describes; everything else of `call` stays.
ORT_RRELU_HD ort_rrelu_params ParamsOf(const ReserveHeader& header, ort_rrelu_params call) {
  call.dtype = static_cast<int32_t>(header.dtype);
  call.training = static_cast<int32_t>(header.training);
  call.lower = header.lower;
  call.upper = header.upper;
  call.seed = header.seed;
  call.step = header.step;
  return call;
}

// The bits of a whole reserve.
ORT_RRELU_HD uint8_t* ReserveBits(void* reserve) {
  return reserve == nullptr ? nullptr : static_cast<uint8_t*>(reserve) + sizeof(ReserveHeader);
}
ORT_RRELU_HD const uint8_t* ReserveBits(const void* reserve) {
  return static_cast<const uint8_t*>(reserve) + sizeof(ReserveHeader);
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

// The rules of check.cc for the device, where they are a yes or a no: tests/cpp/cuda_grid.cc compares both.

// Not std::isfinite, which is for the host.
ORT_RRELU_HD bool IsFinite(double value) { return value - value == 0; }

template <class T>
ORT_RRELU_HD bool IsFiniteIn(float value) {
  return IsFinite(value) && IsFinite(ToWide(FromFloat<T>(value)));
}

template <class T>
ORT_RRELU_HD bool HeaderFits(const ReserveHeader& header, int32_t dtype, uint64_t size) {
  return header.magic == kReserveMagic && header.version == kReserveVersion &&
         header.dtype == static_cast<uint32_t>(dtype) && header.size == size && header.zeros[0] == 0 &&
         header.zeros[1] == 0 && header.training <= 1 && header.lower <= header.upper &&
         IsFiniteIn<T>(header.lower) && IsFiniteIn<T>(header.upper) &&
         IsFiniteIn<T>(header.upper - header.lower);
}

// Of the last byte; the reserve is as long as `size` asks for.
ORT_RRELU_HD bool UnusedBitsAreZero(const void* reserve, uint64_t size) {
  return size % 8 == 0 || ReserveBits(reserve)[size / 8] >> (size % 8) == 0;
}

}  // namespace ort_rrelu
