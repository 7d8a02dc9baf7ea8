// The C API with threads: the same bits with any number of them, cut anywhere, and called from many at once.
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "call.h"
#include "expect.h"
#include "rrelu.h"

namespace ort_rrelu {
namespace {

constexpr uint64_t kSize = 9 * kChunk + 77;  // enough chunks for two threads and a tail

struct Result {
  std::vector<float> y, noise, dx, dx_of_reserve;
  std::vector<uint8_t> reserve;

  Result()
      : y(kSize, 7.0f),
        noise(kSize, 7.0f),
        dx(kSize, 7.0f),
        dx_of_reserve(kSize, 7.0f),
        reserve(ort_rrelu_reserve_bytes(kSize), uint8_t{0xAA}) {}
};

template <class T>
bool SameBytes(const std::vector<T>& a, const std::vector<T>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0;
}

std::vector<float> Input() {
  std::vector<float> x;
  for (uint64_t i = 0; i < kSize; ++i) {
    x.push_back(static_cast<float>(static_cast<int32_t>(i * 2654435761u)) * 0x1p-31f);
  }
  return x;
}

ort_rrelu_params Params(int32_t num_threads) {
  return {sizeof(ort_rrelu_params), ORT_RRELU_FLOAT, 0.125f, 0.25f, 1, num_threads, 42, 7, nullptr, 0};
}

// In two calls, cut at `cut`.
Result Run(const std::vector<float>& x, int32_t num_threads, uint64_t cut, Expectations& expect) {
  const ort_rrelu_params params = Params(num_threads);
  Result r;
  char message[256] = "";
  const auto check = [&](int failed) { expect.That(!failed, message); };
  const uint64_t ranges[][2] = {{0, cut}, {cut, kSize}};
  for (const auto& [begin, end] : ranges) {
    check(ort_rrelu_forward(&params, x.data(), r.y.data(), r.noise.data(), r.reserve.data(), kSize, begin,
                            end, message, sizeof message));
    check(ort_rrelu_backward(&params, x.data(), r.noise.data(), r.dx.data(), begin, end, message,
                             sizeof message));
  }
  for (const auto& [begin, end] : ranges) {
    check(ort_rrelu_backward_reserve(&params, x.data(), r.reserve.data(), r.reserve.size(),
                                     r.dx_of_reserve.data(), kSize, begin, end, message, sizeof message));
  }
  return r;
}

void ExpectSame(const Result& got, const Result& wanted, const std::string& what, Expectations& expect) {
  expect.That(SameBytes(got.y, wanted.y), "y ", what);
  expect.That(SameBytes(got.noise, wanted.noise), "noise ", what);
  expect.That(SameBytes(got.reserve, wanted.reserve), "reserve ", what);
  expect.That(SameBytes(got.dx, wanted.dx), "dx ", what);
  expect.That(SameBytes(got.dx_of_reserve, wanted.dx), "dx of reserve ", what);
}

void CheckThreadsAndCuts(const std::vector<float>& x, const Result& wanted, Expectations& expect) {
  for (const int32_t num_threads : {1, 2, 3, 8, 0}) {
    for (const uint64_t cut : {uint64_t{0}, uint64_t{8}, kChunk - 8, 4 * kChunk + 24, kSize / 8 * 8}) {
      ExpectSame(Run(x, num_threads, cut, expect), wanted,
                 "with " + std::to_string(num_threads) + " threads, cut at " + std::to_string(cut), expect);
    }
  }
}

void CheckConcurrentCalls(const std::vector<float>& x, const Result& wanted, Expectations& expect) {
  constexpr int kCalls = 6;
  std::vector<Result> results(kCalls);
  std::vector<Expectations> calls(kCalls);
  std::vector<std::thread> threads;
  for (int i = 0; i < kCalls; ++i) {
    threads.emplace_back([&, i] { results[i] = Run(x, 1 + i % 3, kChunk, calls[i]); });
  }
  for (std::thread& thread : threads) thread.join();
  for (int i = 0; i < kCalls; ++i) {
    expect.That(calls[i].Result() == 0, "call ", i);
    ExpectSame(results[i], wanted, "of concurrent call " + std::to_string(i), expect);
  }
}

}  // namespace
}  // namespace ort_rrelu

int main() {
  ort_rrelu::Expectations expect;
  const std::vector<float> x = ort_rrelu::Input();
  const ort_rrelu::Result wanted = ort_rrelu::Run(x, 1, 0, expect);
  ort_rrelu::CheckThreadsAndCuts(x, wanted, expect);
  ort_rrelu::CheckConcurrentCalls(x, wanted, expect);
  return expect.Result();
}
