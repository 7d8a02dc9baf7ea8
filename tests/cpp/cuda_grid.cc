// The device kernels' loops on the host, over a simulated grid, against the CPU kernels, to the last bit: all
// types, modes and outputs, whole tiles and what is left, arrays that are not aligned, in place, and block
// numbers beyond 32 bits. No GPU and no CUDA compiler is needed.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "call.h"
#include "check.h"
#include "cpu/kernels.h"
#include "cuda/loop.h"
#include "elements.h"
#include "error.h"
#include "expect.h"
#include "reserve.h"

namespace ort_rrelu {
namespace {

// Elements after the range, which must not be touched.
constexpr uint64_t kMargin = 16;
constexpr uint8_t kUntouched = 0xA5;

// In bytes: an array that is not aligned to a load, and one that is.
template <class T>
constexpr uint64_t kShifts[] = {0, sizeof(T)};

// An array that begins `shift` bytes after an aligned address.
template <class E>
class Shifted {
 public:
  Shifted(uint64_t size, uint64_t shift)
      : size_(size), offset_(shift), bytes_((size * sizeof(E) + shift) / sizeof(Load16) + 1) {
    std::memset(bytes_.data(), kUntouched, bytes_.size() * sizeof(Load16));
  }
  Shifted(const std::vector<E>& values, uint64_t shift) : Shifted(values.size(), shift) {
    std::memcpy(data(), values.data(), values.size() * sizeof(E));
  }

  E* data() { return reinterpret_cast<E*>(reinterpret_cast<uint8_t*>(bytes_.data()) + offset_); }
  uint64_t size() const { return size_; }

  // The address of element 0, if this array begins at element `first`.
  E* Zero(uint64_t first) {
    return reinterpret_cast<E*>(reinterpret_cast<uintptr_t>(data()) - first * sizeof(E));
  }

 private:
  uint64_t size_, offset_;
  std::vector<Load16> bytes_;
};

struct Grid {
  uint64_t threads;
};

template <Mode kMode, Layout kLayout = Layout::kOneStep, class T>
void RunGrid(const Arrays<T>& arrays, const ort_rrelu_params& params, const RowLayout& layout,
             const Work& work, Grid grid) {
  const RunConstants<T> run = MakeRunConstants<T>(params, layout);
  for (uint64_t i = 0; i < grid.threads; ++i) {
    const Thread thread = {i, grid.threads};
    if (i % kShare<T> == 0) RunTiles<kMode, AllLanes<kShare<T>>, kLayout>(arrays, run, work, thread);
    RunBlocks<kMode, kLayout>(arrays, run, work, thread);
  }
}

template <Mode kTrain, Mode kEvaluate, class T>
void RunEither(const Arrays<T>& arrays, const ort_rrelu_params& params, uint64_t size, const Work& work,
               Grid grid) {
  const RowLayout layout = MakeRowLayout(params, size);
  if (!params.training) return RunGrid<kEvaluate>(arrays, params, layout, work, grid);
  WithLayout(layout.rows,
             [&](auto kind) { RunGrid<kTrain, decltype(kind)::value>(arrays, params, layout, work, grid); });
}

struct Case {
  uint64_t first, size;  // elements [first, first + size)
  uint64_t shift;        // of an array in bytes
  bool in_place;
  Grid grid;
  uint64_t rows = 0;  // of all elements before the end
};

template <class T>
struct Outputs {
  Shifted<T> y, noise, dx, dx_of_reserve;
  Shifted<uint8_t> reserve;

  Outputs(const std::vector<T>& x, const Case& c)
      : y(x, c.shift),
        noise(x.size(), c.shift),
        dx(x, c.shift),
        dx_of_reserve(x, c.shift),
        reserve(ReserveBytes(x.size(), c.rows), c.shift) {
    if (c.in_place) return;
    for (Shifted<T>* array : {&y, &dx, &dx_of_reserve}) *array = Shifted<T>(x.size(), c.shift);
  }
};

template <class E>
bool Same(Shifted<E>& a, Shifted<E>& b) {
  for (uint64_t i = 0; i < a.size(); ++i) {
    if (!SameBits(a.data()[i], b.data()[i])) return false;
  }
  return true;
}

struct Calls {
  ForwardCall forward;
  BackwardCall multiply;
  ReserveBackwardCall back;
};

// in_place: outputs are inputs, too.
template <class T>
Calls CallsOf(const ort_rrelu_params& params, Shifted<T>& x, Outputs<T>& to, const Case& c, bool in_place) {
  const uint64_t end = c.first + c.size;
  const Range range = {c.first, end};
  const auto source = [&](Shifted<T>& target) { return (in_place ? target : x).Zero(c.first); };
  void* reserve = to.reserve.Zero(c.first / 8);
  T* noise = to.noise.Zero(c.first);
  return {{params, source(to.y), to.y.Zero(c.first), noise, reserve, end, range},
          {params, source(to.dx), noise, to.dx.Zero(c.first), range},
          {params, source(to.dx_of_reserve), reserve, ReserveBytes(end, c.rows),
           to.dx_of_reserve.Zero(c.first), end, range}};
}

template <class T>
void RunOnCpu(const ort_rrelu_params& params, Shifted<T>& x, Outputs<T>& to, const Case& c) {
  const Calls calls = CallsOf(params, x, to, c, false);
  Run(calls.forward, calls.forward.range);
  Run(calls.multiply, calls.multiply.range);
  Run(calls.back, calls.back.range);
}

template <class T>
void RunOnGrid(const ort_rrelu_params& params, Shifted<T>& x, Outputs<T>& to, const Case& c) {
  const Calls calls = CallsOf(params, x, to, c, c.in_place);
  const auto forward = ArraysOf<T>(calls.forward);
  const auto multiply = ArraysOf<T>(calls.multiply);
  const auto back = ArraysOf<T>(calls.back);
  const Range range = calls.forward.range;
  const uint64_t size = calls.forward.size;
  RunEither<Mode::kTrain, Mode::kEvaluate>(forward, params, size, MakeWork(forward, range), c.grid);
  RunGrid<Mode::kMultiply>(multiply, params, RowLayout{}, MakeWork(multiply, range), c.grid);
  RunEither<Mode::kTrainBack, Mode::kEvaluateBack>(back, params, size, MakeWork(back, range), c.grid);
}

template <class T>
void Check(const ort_rrelu_params& params, const Case& c, Expectations& expect) {
  const std::vector<T> values = Values<T>(c.size + kMargin);
  Shifted<T> x(values, c.shift);
  Outputs<T> wanted(values, c), got(values, c);
  RunOnCpu(params, x, wanted, c);
  RunOnGrid(params, x, got, c);
  const auto same = [&](const char* what, bool equal) {
    expect.That(equal, what, " differs: dtype ", params.dtype, " training ", params.training, " first ",
                c.first, " size ", c.size, " shift ", c.shift, " in place ", c.in_place, " threads ",
                c.grid.threads, " rows ", c.rows);
  };
  same("y", Same(got.y, wanted.y));
  same("noise", Same(got.noise, wanted.noise));
  same("reserve", Same(got.reserve, wanted.reserve));
  same("dx", Same(got.dx, wanted.dx));
  same("dx of reserve", Same(got.dx_of_reserve, wanted.dx_of_reserve));
}

constexpr uint64_t kHighWord = uint64_t{kBlock} << 32;  // the block number leaves 32 bits here

template <class T>
std::vector<uint64_t> Sizes() {
  std::vector<uint64_t> sizes = {0, 1, 7, 8, 9, 255};
  for (const uint64_t tiles : {1, 2, 3, 11}) {
    for (const int extra : {-1, 0, 1, 8, 13}) sizes.push_back(tiles * kTile<T> + extra);
  }
  return sizes;
}

// Fewer threads than there is work for, as many, and more.
constexpr Grid kGrids[] = {{kWarp}, {3 * kWarp}, {64 * kWarp}};

template <class T>
void CheckType(int32_t dtype, Expectations& expect) {
  ort_rrelu_params params = {sizeof(ort_rrelu_params), dtype,   0.125f, 1.0f / 3, 0, 1, 0x123456789ABCDEF0u,
                             0xFEDCBA9876543210u,      nullptr, 0};
  for (const int32_t training : {0, 1}) {
    params.training = training;
    for (const uint64_t size : Sizes<T>()) {
      for (const uint64_t first : {uint64_t{0}, uint64_t{24}, kHighWord - 264, 5 * kHighWord - 8}) {
        for (const uint64_t shift : kShifts<T>) {
          for (const bool in_place : {false, true}) {
            for (const Grid grid : kGrids) Check<T>(params, {first, size, shift, in_place, grid}, expect);
          }
        }
      }
    }
  }
}

// Rows whose sizes are and are no multiples of 8, shorter than a block and longer than a tile; steps at any
// address; ranges that begin far away, in the last rows.
template <class T>
void CheckRows(int32_t dtype, Expectations& expect) {
  std::vector<uint64_t> values(3000);
  for (uint64_t i = 0; i < values.size(); ++i) values[i] = i * 0x9E3779B97F4A7C15u;
  for (const uint64_t row : {1, 3, 7, 8, 10, 13, 16, 64, 100, 513, 1024, 1500}) {
    const uint64_t rows = std::max<uint64_t>(2, std::min<uint64_t>(values.size() - 1, 3000 / row));
    const uint64_t size = rows * row, first = size > 1200 ? (size - 1100) / 8 * 8 : 0;
    for (const uint64_t shift : kShifts<T>) {
      std::vector<uint8_t> bytes(values.size() * 8 + 1);
      std::memcpy(bytes.data() + (shift != 0), values.data(), values.size() * 8);
      const ort_rrelu_params params = {sizeof(ort_rrelu_params),    dtype, 0.125f, 1.0f / 3, 1, 1, 42, 0,
                                       bytes.data() + (shift != 0), rows};
      for (const Grid grid : {kGrids[0], kGrids[2]}) {
        Check<T>(params, {0, size, shift, false, grid, rows}, expect);
        Check<T>(params, {first, size - first, shift, true, grid, rows}, expect);
      }
    }
  }
}

// Block numbers of two rows that leave 32 bits: the end of the second.
template <class T>
void CheckFarRows(int32_t dtype, Expectations& expect) {
  const int64_t steps[] = {-5, int64_t{1} << 40};
  for (const uint64_t extra : {0, 8, 5, 1001}) {
    const ort_rrelu_params params = {
        sizeof(ort_rrelu_params), dtype, 0.125f, 1.0f / 3, 1, 1, 42, 0, steps, 2};
    const uint64_t size = 2 * (kHighWord + extra);
    for (const uint64_t before : {264, 4096}) {
      const uint64_t first = (size - before) / 8 * 8;
      Check<T>(params, {first, size - first, 0, false, kGrids[1], 2}, expect);
    }
  }
}

ReserveHeader HeaderOf(int32_t dtype, float lower, float upper) {
  return MakeReserveHeader({sizeof(ort_rrelu_params), dtype, lower, upper, 1, 0, 42, 3, nullptr, 0}, 100);
}

// What the host has to say.
std::string SaidOf(const ReserveHeader& header, int32_t dtype, uint64_t rows) {
  try {
    CheckReserveHeader(header, dtype, 100, rows);
    return "";
  } catch (const Error& error) {
    return error.message;
  }
}

// The device says yes where the host has nothing to say.
template <class T>
void CheckHeaders(int32_t dtype, Expectations& expect) {
  std::vector<ReserveHeader> headers;
  const float inf = INFINITY, most = std::numeric_limits<float>::max();
  for (const float lower :
       {0.125f, -inf, -NAN, -65504.0f, -65519.0f, -65520.0f, -3.3895e38f, -most, 1e-45f}) {
    for (const float upper : {1.0f / 3, 0.0f, inf, NAN, 65504.0f, 65519.0f, 65520.0f, 3.3895e38f, most}) {
      headers.push_back(HeaderOf(dtype, lower, upper));
    }
  }
  const auto altered = [&](auto alter) {
    headers.push_back(HeaderOf(dtype, 0.125f, 0.25f));
    alter(headers.back());
  };
  altered([](ReserveHeader& h) { h.magic ^= 1; });
  altered([](ReserveHeader& h) { h.version = 2; });
  altered([](ReserveHeader& h) { h.dtype += 1; });
  altered([](ReserveHeader& h) { h.training = 0; });
  altered([](ReserveHeader& h) { h.training = 2; });
  altered([](ReserveHeader& h) { h.training = 0xFFFFFFFFu; });
  altered([](ReserveHeader& h) { h.size += 8; });
  altered([](ReserveHeader& h) { h.rows = 1; });
  altered([](ReserveHeader& h) { h.zero = uint64_t{1} << 63; });
  for (const uint32_t version : {1, 2, 3}) {
    for (const uint64_t rows : {0, 1, 2, 4, 7}) {
      for (const uint64_t step : {0, 3}) {
        altered([=](ReserveHeader& h) {
          h.version = version;
          h.rows = rows;
          h.step = step;
        });
      }
    }
  }
  for (const ReserveHeader& header : headers) {
    for (const uint64_t rows : {0, 2, 4}) {  // what lengths that have been checked can say
      const std::string said = SaidOf(header, dtype, rows);
      expect.That(HeaderFits<T>(header, dtype, 100, rows) == said.empty(), "dtype ", dtype, " bounds ",
                  header.lower, " ", header.upper, " rows ", rows, ": the host says \"", said, "\"");
    }
  }
}

}  // namespace
}  // namespace ort_rrelu

int main() {
  using namespace ort_rrelu;
  Expectations expect;
  CheckType<float>(ORT_RRELU_FLOAT, expect);
  CheckType<double>(ORT_RRELU_DOUBLE, expect);
  CheckType<Half>(ORT_RRELU_FLOAT16, expect);
  CheckType<BFloat16>(ORT_RRELU_BFLOAT16, expect);
  CheckRows<float>(ORT_RRELU_FLOAT, expect);
  CheckRows<double>(ORT_RRELU_DOUBLE, expect);
  CheckRows<Half>(ORT_RRELU_FLOAT16, expect);
  CheckRows<BFloat16>(ORT_RRELU_BFLOAT16, expect);
  CheckFarRows<float>(ORT_RRELU_FLOAT, expect);
  CheckFarRows<Half>(ORT_RRELU_FLOAT16, expect);
  CheckHeaders<float>(ORT_RRELU_FLOAT, expect);
  CheckHeaders<double>(ORT_RRELU_DOUBLE, expect);
  CheckHeaders<Half>(ORT_RRELU_FLOAT16, expect);
  CheckHeaders<BFloat16>(ORT_RRELU_BFLOAT16, expect);
  return expect.Result();
}
