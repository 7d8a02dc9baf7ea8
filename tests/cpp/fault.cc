// A fault on its way from the device to the host: threads that raise stand in for kernels. What is taken is
// whole and of one raise, whoever writes and reads at the same time; the first that is raised is told, once.
#include "fault.h"

#include <atomic>
#include <cstdint>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "check.h"
#include "error.h"
#include "expect.h"
#include "rrelu.h"
#include "schema.h"

namespace ort_rrelu {
namespace {

constexpr int kRaisers = 3;
constexpr int kTakers = 2;
constexpr uint64_t kRaises = 20000;  // of each raiser, and more until enough are taken: takers may start late
constexpr uint64_t kMostRaises = 1000 * kRaises;
constexpr uint64_t kEnough = 100;

ReserveHeader HeaderOf(uint64_t number) {
  ReserveHeader header{};
  header.seed = header.step = header.size = header.rows = header.zero = number;
  return header;
}

void Raise(ort_rrelu_fault& fault, uint64_t number) {
  RaiseFault(fault, HeaderOf(number), static_cast<int32_t>(number), number, number % 2 == 0 ? number : 0);
}

bool IsWhole(const ort_rrelu_fault& found) {
  const ReserveHeader header = HeaderOf(found.size);
  const uint32_t kind = found.size % 2 == 0 ? kFault : kRowsFault;
  return std::memcmp(found.header, &header, sizeof header) == 0 && found.raised == kind &&
         found.dtype == static_cast<int32_t>(found.size);
}

void TestManyAtOnce(Expectations& expect) {
  ort_rrelu_fault fault{};
  std::atomic<int> raising{kRaisers};
  std::atomic<uint64_t> taken{0}, torn{0};
  const auto take = [&] {
    const auto found = TakeFault(fault);
    if (!found) return false;
    ++taken;
    if (!IsWhole(*found)) ++torn;
    return true;
  };
  std::vector<std::thread> threads;
  for (uint64_t i = 0; i < kRaisers; ++i) {
    threads.emplace_back([&, i] {
      for (uint64_t n = 1; n <= kRaises || (taken < kEnough && n <= kMostRaises); ++n) {
        Raise(fault, n * kRaisers + i);
        if (n % 64 == 0) std::this_thread::yield();
      }
      --raising;
    });
  }
  for (int i = 0; i < kTakers; ++i) {
    threads.emplace_back([&] {
      while (raising > 0) {
        if (!take()) std::this_thread::yield();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  take();
  expect.That(taken >= kEnough, "faults that were taken: ", taken.load());
  expect.That(torn == 0, "faults of two raises: ", torn.load(), " of ", taken.load());
  expect.That(!take(), "a fault was taken twice");
}

std::string Told(ort_rrelu_fault& fault) {
  try {
    CheckFault(fault);
  } catch (const Error& error) {
    return error.message;
  }
  return "";
}

void TestTheFirstIsToldOnce(Expectations& expect) {
  ort_rrelu_fault fault{};
  expect.That(Told(fault).empty(), "a fault that nobody raised was told");
  ReserveHeader first{}, second{};
  first.magic = 0x11111111;
  second.magic = 0x22222222;
  RaiseFault(fault, first, ORT_RRELU_FLOAT, 8, 0);
  RaiseFault(fault, second, ORT_RRELU_FLOAT, 8, 0);
  const std::string message = Told(fault);
  expect.That(message.find("0x11111111") != std::string::npos, "the first fault is not told: ", message);
  expect.That(Told(fault).empty(), "a fault was told twice");
  RaiseFault(fault, second, ORT_RRELU_FLOAT, 8, 0);
  expect.That(Told(fault).find("0x22222222") != std::string::npos, "the next fault is not told");
}

void TestOneThatIsBeingWrittenWaits(Expectations& expect) {
  ort_rrelu_fault fault{};
  expect.That(ClaimToRaise(fault), "a place without a fault was not given");
  expect.That(!ClaimToRaise(fault), "a place was given twice");
  expect.That(!TakeFault(fault), "a fault was taken that is only half written");
  Publish(fault, kFault);
  expect.That(!ClaimToRaise(fault), "a fault that was not told was given away");
  expect.That(TakeFault(fault).has_value(), "a fault that was raised was not taken");
}

}  // namespace
}  // namespace ort_rrelu

int main() {
  using namespace ort_rrelu;
  Expectations expect;
  TestManyAtOnce(expect);
  TestTheFirstIsToldOnce(expect);
  TestOneThatIsBeingWrittenWaits(expect);
  return expect.Result();
}
