// What the C API must answer, written from ops/README.md and ops/rrelu.h alone: none of the library's code.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <type_traits>

#include "rrelu.h"

namespace oracle {

using U128 = unsigned __int128;

// The element types, as bits that are read into double and rounded from it.

inline int BytesOf(int32_t dtype) {
  switch (dtype) {
    case ORT_RRELU_FLOAT:
      return 4;
    case ORT_RRELU_DOUBLE:
      return 8;
    case ORT_RRELU_FLOAT16:
    case ORT_RRELU_BFLOAT16:
      return 2;
    default:
      return 0;
  }
}

template <class To, class From>
To Bits(From from) {
  static_assert(sizeof(To) == sizeof(From));
  To to;
  std::memcpy(&to, &from, sizeof to);
  return to;
}

inline double Read(int32_t dtype, const uint8_t* at) {
  uint64_t raw = 0;
  std::memcpy(&raw, at, BytesOf(dtype));
  switch (dtype) {
    case ORT_RRELU_FLOAT:
      return Bits<float>(static_cast<uint32_t>(raw));
    case ORT_RRELU_FLOAT16:
      return static_cast<double>(Bits<_Float16>(static_cast<uint16_t>(raw)));
    case ORT_RRELU_BFLOAT16:
      return Bits<float>(static_cast<uint32_t>(raw) << 16);
    default:
      return Bits<double>(raw);
  }
}

// To nearest even. A float or double of a 16-bit product is exact in double, so one rounding is left.
inline float RoundToBFloat16(float value) {
  const uint32_t bits = Bits<uint32_t>(value);
  if (std::isnan(value)) return value;
  return Bits<float>((bits + 0x7FFF + ((bits >> 16) & 1)) & 0xFFFF0000u);
}

inline void Write(int32_t dtype, uint8_t* at, double value) {
  uint64_t raw;
  switch (dtype) {
    case ORT_RRELU_FLOAT:
      raw = Bits<uint32_t>(static_cast<float>(value));
      break;
    case ORT_RRELU_FLOAT16:
      raw = Bits<uint16_t>(static_cast<_Float16>(static_cast<float>(value)));
      break;
    case ORT_RRELU_BFLOAT16:
      raw = Bits<uint32_t>(RoundToBFloat16(static_cast<float>(value))) >> 16;
      break;
    default:
      raw = Bits<uint64_t>(value);
  }
  std::memcpy(at, &raw, BytesOf(dtype));
}

inline double Rounded(int32_t dtype, double value) {
  uint8_t element[8];
  Write(dtype, element, value);
  return Read(dtype, element);
}

// x * slope, in double for double and in float else, then rounded once to T.
inline double Product(int32_t dtype, double x, double slope) {
  if (dtype == ORT_RRELU_DOUBLE) return x * slope;
  return static_cast<float>(x) * static_cast<float>(slope);
}

// The stream.

inline uint16_t Half(uint64_t seed, uint64_t step, uint64_t i) {
  uint32_t c[4] = {uint32_t(i / 8), uint32_t(i / 8 >> 32), uint32_t(step), uint32_t(step >> 32)};
  uint64_t key[2] = {seed & 0xFFFFFFFF, seed >> 32};
  for (int round = 0; round < 10; ++round) {
    const uint64_t a = uint64_t{0xD2511F53} * c[0], b = uint64_t{0xCD9E8D57} * c[2];
    const uint32_t next[4] = {uint32_t(b >> 32) ^ c[1] ^ uint32_t(key[0]), uint32_t(b),
                              uint32_t(a >> 32) ^ c[3] ^ uint32_t(key[1]), uint32_t(a)};
    std::memcpy(c, next, sizeof c);
    key[0] += 0x9E3779B9;
    key[1] += 0xBB67AE85;
  }
  const uint32_t word = c[i % 8 / 2];
  return i % 2 == 0 ? word & 0xFFFF : word >> 16;
}

inline float Slope(float lower, float upper, uint64_t seed, uint64_t step, uint64_t i) {
  const float u = (2.0f * Half(seed, step, i) + 1.0f) / 131072.0f;
  const float span = upper - lower;
  const volatile float product = u * span;  // rounded on its own
  return lower + product;
}

// Parameters.

inline bool Finite(int32_t dtype, float value) {
  return std::isfinite(value) && std::isfinite(Rounded(dtype, value));
}

inline bool GoodBounds(int32_t dtype, float lower, float upper) {
  return Finite(dtype, lower) && Finite(dtype, upper) && lower <= upper && Finite(dtype, upper - lower);
}

inline bool GoodParams(const ort_rrelu_params& p) {
  return BytesOf(p.dtype) != 0 && (p.training == 0 || p.training == 1) &&
         GoodBounds(p.dtype, p.lower, p.upper);
}

inline double MeanSlope(int32_t dtype, float lower, float upper) {
  const double mean = (static_cast<double>(lower) + static_cast<double>(upper)) / 2;
  return dtype == ORT_RRELU_DOUBLE ? mean : static_cast<float>(mean);
}

// Element i of `size`; `steps` are those of `rows` rows, or one for all. The factor as T is multiplied by it.
inline double Factor(const ort_rrelu_params& p, const uint64_t* steps, uint64_t size, uint64_t i) {
  if (p.training == 0) return MeanSlope(p.dtype, p.lower, p.upper);
  const uint64_t rows = p.rows < 2 ? 1 : p.rows;
  const uint64_t row_size = size / rows;
  return Rounded(p.dtype, Slope(p.lower, p.upper, p.seed, steps[i / row_size], i % row_size));
}

// Addresses: bytes [begin, end) as numbers that do not wrap.
struct Span {
  U128 begin, end;
  bool empty() const { return begin == end; }
};

inline bool Overlap(const Span& a, const Span& b) {
  return !a.empty() && !b.empty() && a.begin < b.end && b.begin < a.end;
}

inline uint64_t ReserveBytes(uint64_t size, uint64_t rows) {
  return 64 + (rows < 2 ? 0 : 8 * rows) + size / 8 + (size % 8 != 0);
}

inline bool GoodRange(uint64_t begin, uint64_t end, uint64_t size) {
  return begin % 8 == 0 && begin <= end && (end == size || (end % 8 == 0 && end < size));
}

// Does the table of ops/README.md hold for these bytes?
inline bool GoodReserve(const uint8_t* bytes, uint64_t length, int32_t dtype, uint64_t size) {
  const uint64_t least = ReserveBytes(size, 0);
  if (length < least || (length - least) % 8 != 0) return false;
  const uint64_t rows = (length - least) / 8;
  if (rows == 1 || (rows > 1 && size % rows != 0)) return false;
  uint32_t word[4];
  float bound[2];
  uint64_t wide[5];
  std::memcpy(word, bytes, 16);
  std::memcpy(bound, bytes + 16, 8);
  std::memcpy(wide, bytes + 24, 40);
  const bool known = word[0] == 0x6C657272 && word[1] == (rows == 0 ? 1u : 2u) && word[2] == uint32_t(dtype);
  if (!known || word[3] > 1 || !GoodBounds(dtype, bound[0], bound[1])) return false;
  if (wide[2] != size || wide[3] != rows || wide[4] != 0 || (rows > 0 && wide[1] != 0)) return false;
  return size % 8 == 0 || bytes[length - 1] >> (size % 8) == 0;
}

}  // namespace oracle
