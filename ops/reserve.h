// `reserve`: what RReluGrad needs, in one bit an element. A header, then bit i % 8 of byte i / 8 = (x[i] <=
// 0); the slopes are drawn again. Little-endian, the same bytes on every backend. ops/README.md has the
// table.
#pragma once

#include <cstdint>
#include <string>

#include "philox.h"
#include "rrelu.h"

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

// The draw that a header describes; everything else of `call` stays.
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

// On the host. A reserve may lie at any address.
void WriteReserveHeader(void* reserve, const ReserveHeader& header);
ReserveHeader ReadReserveHeader(const void* reserve);

// What is wrong with a reserve for `size` elements of dtype, or "": first what can be said of it without
// looking into it, then the header's fields, then all of it.
std::string CheckReserveBytes(uint64_t bytes, uint64_t size);
std::string CheckReserveHeader(const ReserveHeader& header, int32_t dtype, uint64_t size);
// The same of one that only the device has looked at: what it found.
std::string CheckReserveFault(const ort_rrelu_fault& fault);
std::string CheckReserve(const void* reserve, uint64_t bytes, int32_t dtype, uint64_t size);

}  // namespace ort_rrelu
