// lower <= slope <= upper for every half word, with bounds chosen to break that.
#include "slope.h"

#include <cmath>
#include <initializer_list>
#include <limits>
#include <vector>

#include "expect.h"

namespace ort_rrelu {
namespace {

struct Bounds {
  float lower, upper;
};

constexpr float kTiny = std::numeric_limits<float>::denorm_min();
constexpr float kNormal = std::numeric_limits<float>::min();
constexpr float kMax = std::numeric_limits<float>::max();

float Next(float value) { return std::nextafter(value, kMax); }

// Pairs of these cover: equal bounds, signs, zeros, spans of one unit in the last place, subnormal spans,
// spans that round, spans that swallow the lower bound, and the largest.
std::vector<float> Ends() {
  std::vector<float> ends;
  for (const float end : {0.0f, kTiny, 3 * kTiny, kNormal, 1e-30f, 1e-8f, 0.125f, 1.0f / 3, 1.0f, 1e8f, 1e38f,
                          kMax / 2, kMax}) {
    for (const float value : {end, -end, Next(end), -Next(end)}) {
      if (std::isfinite(value)) ends.push_back(value);
    }
  }
  return ends;
}

std::vector<Bounds> AllBounds() {
  std::vector<Bounds> all;
  const std::vector<float> ends = Ends();
  for (const float lower : ends) {
    for (const float upper : ends) {
      if (lower <= upper && std::isfinite(upper - lower)) all.push_back({lower, upper});
    }
  }
  return all;
}

void CheckBounds(const Bounds& bounds, Expectations& expect) {
  const float span = bounds.upper - bounds.lower;
  float previous = bounds.lower;
  for (uint32_t half_word = 0; half_word < 65536; ++half_word) {
    const float slope = Slope(half_word, bounds.lower, span);
    expect.That(previous <= slope && slope <= bounds.upper, "slope ", slope, " of half word ", half_word,
                " with bounds ", bounds.lower, " and ", bounds.upper, " after ", previous);
    previous = slope;
  }
}

}  // namespace
}  // namespace ort_rrelu

int main() {
  ort_rrelu::Expectations expect;
  std::cerr.precision(9);
  for (const ort_rrelu::Bounds& bounds : ort_rrelu::AllBounds()) ort_rrelu::CheckBounds(bounds, expect);
  return expect.Result();
}
