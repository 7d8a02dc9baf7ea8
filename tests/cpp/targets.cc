// Every instruction set of this machine against slope.h and element.h, element by element: all types, modes
// and outputs, all sizes up to a few vectors, beginnings anywhere, Y past the caches, rows with steps of
// their own, and block numbers beyond 32 bits.
#include "hwy/targets.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "cpu/caches.h"
#include "cpu/kernels.h"
#include "element.h"
#include "elements.h"
#include "expect.h"
#include "hwy/highway.h"
#include "slope.h"

namespace ort_rrelu {
namespace {

// Elements before and after the range, which must not be touched.
constexpr uint64_t kMargin = 16;
constexpr float kUntouched = 7.0f;
constexpr uint64_t kMaxSize = 600;  // more than two units of the widest vectors

// What every element takes where x <= 0, in the type in which it is multiplied; `size` is the tensor's.
template <class T>
Wide<T> Factor(const ort_rrelu_params& params, uint64_t size, uint64_t i) {
  if (!params.training) return static_cast<Wide<T>>(MeanSlope(params.lower, params.upper));
  uint64_t step = params.step;
  if (params.rows > 0) {
    step = ReadStep(params.steps, i / (size / params.rows));
    i %= size / params.rows;
  }
  const Words4 words = RandomBlock(params.seed, step, i / kBlock);
  const float span = params.upper - params.lower;
  return ToWide(FromFloat<T>(Slope(HalfWord(words, static_cast<int>(i % kBlock)), params.lower, span)));
}

template <class T>
struct Buffers {
  std::vector<T> x, y, noise, dx, dx_of_reserve;
  std::vector<uint8_t> reserve;

  explicit Buffers(std::vector<T> values)
      : x(std::move(values)),
        y(x.size(), FromFloat<T>(kUntouched)),
        noise(y),
        dx(y),
        dx_of_reserve(y),
        reserve(x.size() / 8 + 1, uint8_t{0xAA}) {}
};

template <class T>
class Case {
 public:
  // Elements [first + kMargin, first + kMargin + size), with `first` far away: pointers are those of element
  // 0.
  Case(const ort_rrelu_params& params, uint64_t first, uint64_t size, Expectations& expect)
      : params_(params),
        first_(first),
        size_(size),
        buffers_(Values<T>(size + 2 * kMargin)),
        expect_(expect) {}

  // The given values, less the margins.
  Case(const ort_rrelu_params& params, const std::vector<T>& values, Expectations& expect)
      : params_(params), first_(0), size_(values.size() - 2 * kMargin), buffers_(values), expect_(expect) {}

  void Check() {
    Run();
    for (uint64_t i = 0; i < buffers_.x.size(); ++i) CheckElement(i);
    for (uint64_t i = kMargin; i < (kMargin + size_ + 7) / 8 * 8; ++i) CheckBit(i);
  }

 private:
  template <class E>
  E* Zero(std::vector<E>& array, uint64_t per_entry = 1, uint64_t header = 0) {
    return reinterpret_cast<E*>(reinterpret_cast<uintptr_t>(array.data()) - first_ / per_entry * sizeof(E) -
                                header);
  }

  void Run() {
    const uint64_t begin = first_ + kMargin, end = begin + size_;
    T* dy = Zero(buffers_.x);
    const Range range = {begin, end};
    // Kernels take no header and no steps, so that there is room for none.
    void* reserve = Zero(buffers_.reserve, 8, BitsOffset(params_.rows));
    ort_rrelu::Run(ForwardCall{params_, dy, Zero(buffers_.y), Zero(buffers_.noise), reserve, end, range},
                   range);
    ort_rrelu::Run(BackwardCall{params_, dy, Zero(buffers_.noise), Zero(buffers_.dx), range}, range);
    ort_rrelu::Run(ReserveBackwardCall{params_, dy, reserve, ReserveBytes(end, params_.rows),
                                       Zero(buffers_.dx_of_reserve), end, range},
                   range);
  }

  bool Inside(uint64_t i) const { return i >= kMargin && i < kMargin + size_; }

  void Expect(const char* what, uint64_t i, T got, T wanted) {
    expect_.That(SameBits(got, wanted), InstructionSet(), " ", DtypeName(params_.dtype),
                 " training=", params_.training, " size ", size_, " first ", first_, ": ", what, "[", i,
                 "] is ", ToWide(got), ", not ", ToWide(wanted), " for x=", ToWide(buffers_.x[i]));
  }

  void CheckElement(uint64_t i) {
    const T untouched = FromFloat<T>(kUntouched);
    const T x = buffers_.x[i];
    const bool leaks = ToWide(x) <= 0;
    const bool inside = Inside(i);
    const Wide<T> factor = inside ? Factor<T>(params_, first_ + kMargin + size_, first_ + i) : 1;
    const T leaked = FromWide<T>(ToWide(x) * factor);
    const T noise = leaks ? FromWide<T>(factor) : FromFloat<T>(1.0f);
    Expect("y", i, buffers_.y[i], !inside ? untouched : leaks ? leaked : x);
    Expect("noise", i, buffers_.noise[i], inside ? noise : untouched);
    Expect("dx", i, buffers_.dx[i], inside ? FromWide<T>(ToWide(x) * ToWide(noise)) : untouched);
    Expect("dx of reserve", i, buffers_.dx_of_reserve[i], !inside ? untouched : leaks ? leaked : x);
  }

  void CheckBit(uint64_t i) {
    const bool bit = (buffers_.reserve[i / 8] >> (i % 8)) & 1;
    const bool wanted = Inside(i) && ToWide(buffers_.x[i]) <= 0;
    expect_.That(bit == wanted, InstructionSet(), " bit ", i, " of size ", size_);
  }

  const ort_rrelu_params params_;
  const uint64_t first_, size_;
  Buffers<T> buffers_;
  Expectations& expect_;
};

// Far places: the high block word, and a range in which it changes.
constexpr uint64_t kHighWord = uint64_t{kBlock} << 32;

template <class T>
void CheckElementType(ort_rrelu_params params, Expectations& expect) {
  for (const int32_t training : {0, 1}) {
    params.training = training;
    for (uint64_t size = 0; size <= kMaxSize; size += size < 140 ? 1 : 17) {
      Case<T>(params, 0, size, expect).Check();
      Case<T>(params, 3 * kHighWord - 8, size, expect).Check();
      Case<T>(params, kHighWord - kMargin - 264, size, expect).Check();
    }
  }
}

// Rows shorter than a block, of units and of about as many elements, and longer; the last ones of a tensor
// that are touched begin in the middle of a row.
template <class T>
void CheckRows(ort_rrelu_params params, Expectations& expect) {
  std::vector<int64_t> steps(300);
  for (size_t i = 0; i < steps.size(); ++i) steps[i] = static_cast<int64_t>(i * 0x9E3779B97F4A7C15u);
  std::vector<uint8_t> bytes(steps.size() * sizeof steps[0] + 1);  // at an odd address
  std::memcpy(bytes.data() + 1, steps.data(), steps.size() * sizeof steps[0]);
  params.steps = bytes.data() + 1;
  params.training = 1;
  for (const uint64_t row :
       {1, 3, 7, 8, 9, 16, 24, 37, 64, 65, 72, 128, 200, 256, 257, 264, 512, 520, 1000}) {
    for (const uint64_t least : {40, 300, 1100}) {
      params.rows = std::min<uint64_t>(std::max<uint64_t>(2, least / row + 1), steps.size());
      const uint64_t size = params.rows * row;
      if (size <= kMargin) continue;
      Case<T>(params, 0, size - kMargin, expect).Check();
      if (size <= 200 + kMargin) continue;
      const uint64_t begin = (size - 200) / 8 * 8;
      Case<T>(params, begin - kMargin, size - begin, expect).Check();
    }
  }
  params.rows = 2;
  for (const uint64_t extra : {0, 8, 5, 1001}) {
    const uint64_t size = 2 * (kHighWord + extra), begin = size / 8 * 8 - 600;
    Case<T>(params, begin - kMargin, size - begin, expect).Check();
  }
}

// Y past the caches, from anywhere in a line: the bits are those of Y in the caches.
template <class T>
void CheckPastCaches(ort_rrelu_params params, Expectations& expect) {
  params.training = 0;
  const uint64_t large = uint64_t{1} << 60;
  for (const uint64_t size : {0, 1, 40, 600, 5000}) {
    for (uint64_t offset = 0; offset < 64 / sizeof(T); offset += 1 + offset / 2) {
      const std::vector<T> x = Values<T>(size);
      std::vector<T> y(size + 64 + kMargin, FromFloat<T>(kUntouched)), wanted = y;
      const Range range = {0, size};
      const ForwardCall call{params, x.data(), y.data() + offset, nullptr, nullptr, large, {0, large}};
      expect.That(GoesPastCaches(call) == HWY_ARCH_X86, "past caches");
      ort_rrelu::Run(call, range);
      ort_rrelu::Run(ForwardCall{params, x.data(), wanted.data() + offset, nullptr, nullptr, size, range},
                     range);
      for (uint64_t i = 0; i < y.size(); ++i) {
        expect.That(SameBits(y[i], wanted[i]), InstructionSet(), " ", DtypeName(params.dtype), " size ", size,
                    " offset ", offset, ": y[", i, "] is ", ToWide(y[i]), ", not ", ToWide(wanted[i]));
      }
    }
  }
}

// Calls that are not large, are in place, write more than Y, or draw.
void CheckInCaches(ort_rrelu_params params, Expectations& expect) {
  const uint64_t large = uint64_t{1} << 60;
  std::vector<float> x(8), y(8);
  std::vector<uint8_t> reserve(8);
  const auto goes = [&](void* to, void* noise, void* saved, uint64_t size) {
    return GoesPastCaches(ForwardCall{params, x.data(), to, noise, saved, size, {0, size}});
  };
  expect.That(!goes(y.data(), nullptr, nullptr, 1000), "a small call goes past the caches");
  expect.That(!goes(x.data(), nullptr, nullptr, large), "a call in place goes past the caches");
  expect.That(!goes(y.data(), y.data(), nullptr, large), "a call with noise goes past the caches");
  expect.That(!goes(y.data(), nullptr, reserve.data(), large), "a call with a reserve goes past the caches");
  params.training = 1;
  expect.That(!goes(y.data(), nullptr, nullptr, large), "a call in train mode goes past the caches");
}

// Every 16-bit pattern, with slopes that make products which are subnormal, round to even, or overflow. Of
// another seed each time, so that most half words come up.
template <class T>
void CheckAllPatterns(ort_rrelu_params params, Expectations& expect) {
  std::vector<T> patterns(65536);
  for (uint32_t i = 0; i < patterns.size(); ++i) {
    const auto bits = static_cast<uint16_t>(i);
    std::memcpy(&patterns[i], &bits, sizeof bits);
  }
  const struct {
    float lower, upper;
  } bounds[] = {{0.0f, 1e-7f}, {-1e-4f, 1e-4f}, {0.125f, 1.0f / 3},
                {0.5f, 3.0f},  {-2.5f, -1.0f},  {1.0f, 1.0f}};
  for (const int32_t training : {0, 1}) {
    for (const auto& [lower, upper] : bounds) {
      params.training = training;
      params.lower = lower;
      params.upper = upper;
      ++params.seed;
      Case<T>(params, patterns, expect).Check();
    }
  }
}

void CheckTarget(Expectations& expect) {
  const ort_rrelu_params params = {
      sizeof(ort_rrelu_params), 0,       0.125f, 1.0f / 3, 0, 1, 0x123456789ABCDEF0u,
      0xFEDCBA9876543210u,      nullptr, 0};
  const auto of = [&](int32_t dtype) {
    ort_rrelu_params typed = params;
    typed.dtype = dtype;
    return typed;
  };
  CheckElementType<float>(of(ORT_RRELU_FLOAT), expect);
  CheckElementType<double>(of(ORT_RRELU_DOUBLE), expect);
  CheckElementType<Half>(of(ORT_RRELU_FLOAT16), expect);
  CheckElementType<BFloat16>(of(ORT_RRELU_BFLOAT16), expect);
  CheckRows<float>(of(ORT_RRELU_FLOAT), expect);
  CheckRows<double>(of(ORT_RRELU_DOUBLE), expect);
  CheckRows<Half>(of(ORT_RRELU_FLOAT16), expect);
  CheckRows<BFloat16>(of(ORT_RRELU_BFLOAT16), expect);
  CheckPastCaches<float>(of(ORT_RRELU_FLOAT), expect);
  CheckPastCaches<double>(of(ORT_RRELU_DOUBLE), expect);
  CheckPastCaches<Half>(of(ORT_RRELU_FLOAT16), expect);
  CheckPastCaches<BFloat16>(of(ORT_RRELU_BFLOAT16), expect);
  CheckInCaches(of(ORT_RRELU_FLOAT), expect);
  CheckAllPatterns<Half>(of(ORT_RRELU_FLOAT16), expect);
  CheckAllPatterns<BFloat16>(of(ORT_RRELU_BFLOAT16), expect);
}

}  // namespace
}  // namespace ort_rrelu

int main() {
  ort_rrelu::Expectations expect;
  const int64_t supported = hwy::SupportedTargets() & HWY_TARGETS;
  for (int64_t left = supported; left != 0; left &= left - 1) {
    hwy::SetSupportedTargetsForTest(left & -left);
    hwy::GetChosenTarget().DeInit();
    std::cout << hwy::TargetName(left & -left) << "\n";
    ort_rrelu::CheckTarget(expect);
    expect.That(ort_rrelu::InstructionSet() == hwy::TargetName(left & -left), "ran ",
                ort_rrelu::InstructionSet());
  }
  return expect.Result();
}
