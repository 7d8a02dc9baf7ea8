// Rates in the first cache, in G elements/s on one thread, of every instruction set of this machine: the
// kernels, and the bare generator, Philox's words summed in registers. And in the second cache, of rows with
// steps of their own: their rate over that of one step. Prints JSON.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <string>
#include <vector>

#include "cpu/kernels.h"

// clang-format off
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "instruction_sets.cc"
#include "hwy/foreach_target.h"
#include "cpu/stream-inl.h"
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace ort_rrelu {
namespace HWY_NAMESPACE {

uint64_t SumOfWords(uint64_t elements) {
  const Stream stream(1, 2, 0);
  const CounterTag d;
  auto sum = hn::Zero(d);
  for (uint64_t block = 0; block < elements / kBlock; block += Stream::Blocks()) {
    stream.ForEachWords(block, [&](size_t, Counters words) ORT_RRELU_LAMBDA { sum = hn::Add(sum, words); });
  }
  return hn::ReduceSum(d, sum);
}

}  // namespace HWY_NAMESPACE
}  // namespace ort_rrelu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ort_rrelu {
namespace {

HWY_EXPORT(SumOfWords);

constexpr uint64_t kSize = 4096;  // x, y and noise in double fit a cache of 96 KiB; in float, one of 48
constexpr int kRuns = 2000;

template <class F>
double Rate(const F& f) {
  double best = 1;
  for (int i = 0; i < kRuns; ++i) {
    const auto begin = std::chrono::steady_clock::now();
    f();
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
    best = std::min(best, seconds.count());
  }
  return static_cast<double>(kSize) / best / 1e9;
}

double ForwardRate(int32_t dtype, int32_t training) {
  const ort_rrelu_params params = {
      sizeof(ort_rrelu_params), dtype, 0.125f, 1.0f / 3, training, 1, 1, 2, nullptr, 0};
  std::vector<double> x(kSize, -1.0), y(kSize);
  const ForwardCall call{params, x.data(), y.data(), nullptr, nullptr, kSize, {0, kSize}};
  return Rate([&] { Run(call, call.range); });
}

constexpr uint64_t kRowSizes[] = {10, 64, 100, 512, 4096, 65536};
constexpr uint64_t kSizeOfRows = 2 * 65536;
constexpr int kRunsOfRows = 200;

double Seconds(const ForwardCall& call) {
  const auto begin = std::chrono::steady_clock::now();
  Run(call, call.range);
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

// Both in turn, float in train mode.
double RateOfRows(uint64_t row_size) {
  const uint64_t rows = kSizeOfRows / row_size, size = rows * row_size;
  std::vector<int64_t> steps(rows);
  for (uint64_t i = 0; i < rows; ++i) steps[i] = static_cast<int64_t>(i * 0x9E3779B97F4A7C15u);
  ort_rrelu_params params = {
      sizeof(ort_rrelu_params), ORT_RRELU_FLOAT, 0.125f, 1.0f / 3, 1, 1, 1, 2, steps.data(), 0};
  std::vector<float> x(size, -1.0f), y(size);
  const ForwardCall one_step{params, x.data(), y.data(), nullptr, nullptr, size, {0, size}};
  params.rows = rows;
  const ForwardCall of_rows{params, x.data(), y.data(), nullptr, nullptr, size, {0, size}};
  double best_of_one = 1, best_of_rows = 1;
  for (int i = 0; i < kRunsOfRows; ++i) {
    best_of_one = std::min(best_of_one, Seconds(one_step));
    best_of_rows = std::min(best_of_rows, Seconds(of_rows));
  }
  return best_of_one / best_of_rows;
}

void Print(const char* name, double rate, const char* end) { std::printf("\"%s\": %.3f%s", name, rate, end); }

void Measure(int64_t target, bool last) {
  hwy::SetSupportedTargetsForTest(target);
  hwy::GetChosenTarget().DeInit();
  volatile uint64_t sum = 0;
  std::printf("\"%s\": {", hwy::TargetName(target));
  Print("generator", Rate([&] { sum = sum + HWY_DYNAMIC_DISPATCH(SumOfWords)(kSize); }), ", ");
  Print("eval float", ForwardRate(ORT_RRELU_FLOAT, 0), ", ");
  for (const uint64_t size : kRowSizes) {
    Print(("rows of " + std::to_string(size)).c_str(), RateOfRows(size), ", ");
  }
  Print("train float", ForwardRate(ORT_RRELU_FLOAT, 1), ", ");
  Print("train double", ForwardRate(ORT_RRELU_DOUBLE, 1), ", ");
  Print("train float16", ForwardRate(ORT_RRELU_FLOAT16, 1), ", ");
  Print("train bfloat16", ForwardRate(ORT_RRELU_BFLOAT16, 1), last ? "}" : "}, ");
}

}  // namespace
}  // namespace ort_rrelu

int main() {
  int64_t targets = hwy::SupportedTargets() & HWY_TARGETS;
  std::printf("{");
  for (; targets != 0; targets &= targets - 1)
    ort_rrelu::Measure(targets & -targets, (targets & (targets - 1)) == 0);
  std::printf("}\n");
}
#endif  // HWY_ONCE
