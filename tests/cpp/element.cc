// Conversions between float and the 16-bit types: exact one way, to nearest even the other.
#include "element.h"

#include <cmath>
#include <cstring>
#include <initializer_list>

#include "expect.h"

namespace ort_rrelu {
namespace {

template <class T>
T FromBits(uint16_t bits) {
  T value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

template <class T>
uint16_t Bits(T value) {
  uint16_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return bits;
}

template <class T>
constexpr int kMantissaBits = std::is_same_v<T, Half> ? 10 : 7;

template <class T>
constexpr uint16_t kInfinity = std::is_same_v<T, Half> ? 0x7C00 : 0x7F80;

// What the 16 bits say, by the definition of the format and not by its conversion.
template <class T>
double Value(uint16_t bits) {
  const int mantissa_bits = kMantissaBits<T>;
  const int bias = (1 << (14 - mantissa_bits)) - 1;
  const int exponent = (bits & 0x7FFF) >> mantissa_bits;
  const int mantissa = bits & ((1 << mantissa_bits) - 1);
  const int leading = exponent == 0 ? 0 : 1 << mantissa_bits;
  const double magnitude =
      std::ldexp(leading + mantissa, (exponent == 0 ? 1 : exponent) - bias - mantissa_bits);
  return bits & 0x8000 ? -magnitude : magnitude;
}

template <class T>
void CheckThereAndBack(Expectations& expect) {
  for (uint32_t pattern = 0; pattern < 65536; ++pattern) {
    const auto bits = static_cast<uint16_t>(pattern);
    const float wide = ToWide(FromBits<T>(bits));
    const T back = FromFloat<T>(wide);
    const uint16_t magnitude = bits & 0x7FFF;
    if (magnitude > kInfinity<T>) {
      expect.That(std::isnan(wide) && std::isnan(ToWide(back)), "NaN ", pattern, " became ", wide);
      continue;
    }
    expect.That(Bits(back) == bits, "pattern ", pattern, " came back as ", Bits(back));
    if (magnitude == kInfinity<T>) {
      expect.That(std::isinf(wide) && std::signbit(wide) == (bits != magnitude), "infinity became ", wide);
    } else {
      expect.That(wide == Value<T>(bits), "pattern ", pattern, " became ", wide);
    }
  }
}

// Between every two neighbours: below the middle, the middle and above it, of both signs. The neighbour of
// the largest finite value is where infinity begins.
template <class T>
void CheckRounding(Expectations& expect) {
  for (uint16_t bits = 0; bits < kInfinity<T>; ++bits) {
    const auto next = static_cast<uint16_t>(bits + 1);
    const uint16_t even = bits % 2 == 0 ? bits : next;
    const auto middle = static_cast<float>((Value<T>(bits) + Value<T>(next)) / 2);
    const float below = std::nextafter(middle, 0.0f);
    const float above = std::nextafter(middle, INFINITY);
    const struct {
      float value;
      uint16_t wanted;
    } cases[] = {{below, bits}, {middle, even}, {above, next}};
    for (const auto& [value, wanted] : cases) {
      expect.That(Bits(FromFloat<T>(value)) == wanted, value, " became ", Bits(FromFloat<T>(value)));
      expect.That(Bits(FromFloat<T>(-value)) == (wanted | 0x8000), -value, " became ",
                  Bits(FromFloat<T>(-value)));
    }
  }
}

}  // namespace
}  // namespace ort_rrelu

int main() {
  ort_rrelu::Expectations expect;
  std::cerr.precision(9);
  ort_rrelu::CheckThereAndBack<ort_rrelu::Half>(expect);
  ort_rrelu::CheckThereAndBack<ort_rrelu::BFloat16>(expect);
  ort_rrelu::CheckRounding<ort_rrelu::Half>(expect);
  ort_rrelu::CheckRounding<ort_rrelu::BFloat16>(expect);
  return expect.Result();
}
