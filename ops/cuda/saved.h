// A reserve as the device sees it. Its rules have their messages in reserve.cc, on the host; here they are a
// yes or a no, which tests/cpp/cuda_grid.cc compares with the host's.
#pragma once

#include <cstring>

#include "element.h"
#include "reserve.h"

namespace ort_rrelu {

// Not std::isfinite, which is for the host.
ORT_RRELU_HD bool IsFinite(double value) { return value - value == 0; }

template <class T>
ORT_RRELU_HD bool IsFiniteIn(float value) {
  return IsFinite(value) && IsFinite(ToWide(FromFloat<T>(value)));
}

// CheckParams and CheckReserveHeader.
template <class T>
ORT_RRELU_HD bool HeaderFits(const ReserveHeader& header, int32_t dtype, uint64_t size) {
  return header.magic == kReserveMagic && header.version == kReserveVersion &&
         header.dtype == static_cast<uint32_t>(dtype) && header.size == size && header.zeros[0] == 0 &&
         header.zeros[1] == 0 && header.training <= 1 && header.lower <= header.upper &&
         IsFiniteIn<T>(header.lower) && IsFiniteIn<T>(header.upper) &&
         IsFiniteIn<T>(header.upper - header.lower);
}

ORT_RRELU_HD bool UnusedBitsAreZero(const void* reserve, uint64_t size) {
  return size % 8 == 0 || ReserveBits(reserve)[size / 8] >> (size % 8) == 0;
}

// A reserve may lie at any address.
ORT_RRELU_HD ReserveHeader LoadHeader(const void* reserve) {
  ReserveHeader header;
  if (reinterpret_cast<uintptr_t>(reserve) % alignof(ReserveHeader) == 0) {
    header = *static_cast<const ReserveHeader*>(reserve);
  } else {
    memcpy(&header, reserve, sizeof header);
  }
  return header;
}

ORT_RRELU_HD void StoreHeader(void* reserve, const ReserveHeader& header) {
  uint8_t bytes[sizeof header];
  memcpy(bytes, &header, sizeof header);
  for (uint64_t i = 0; i < sizeof header; ++i) static_cast<uint8_t*>(reserve)[i] = bytes[i];
}

}  // namespace ort_rrelu
