// Addresses, ranges and sizes of calls: whatever they are, a call is refused or stays within its arrays.
// Judged again here, in integers of 128 bits, which no product or sum of theirs leaves.
#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "check.h"
#include "element.h"
#include "error.h"
#include "expect.h"
#include "rrelu.h"
#include "schema.h"

namespace ort_rrelu {
namespace {

__extension__ typedef unsigned __int128 Wide128;

constexpr uint64_t kMost = UINT64_MAX;
constexpr Wide128 kAddresses = Wide128{UINTPTR_MAX} + 1;

struct Part {
  uint64_t address;
  Wide128 begin, end;  // bytes from the address on
  bool optional;
  bool IsLeftOut() const { return optional && address == 0; }
  bool IsEmpty() const { return begin == end; }
  // Of a tensor larger than memory element 0 may lie anywhere: only what is touched counts.
  Wide128 First() const { return (address + begin) % kAddresses; }
  Wide128 Last() const { return First() + (end - begin); }
  bool IsSound() const { return IsEmpty() || IsLeftOut() || (address != 0 && Last() < kAddresses); }
};

bool Meet(const Part& a, const Part& b) {
  if (a.address == 0 || b.address == 0 || a.IsEmpty() || b.IsEmpty()) return false;
  return a.First() < b.Last() && b.First() < a.Last();
}

bool MeetPartly(const Part& a, const Part& b) { return a.address != b.address && Meet(a, b); }

struct Case {
  int32_t dtype;
  uint64_t size, begin, end, x, y, noise, reserve;

  Part Elements(uint64_t address, bool optional = false) const {
    const Wide128 bytes = SizeOf(dtype);
    return {address, begin * bytes, end * bytes, optional};
  }
  Part Reserve(bool whole, bool optional) const {
    const auto bytes = [](uint64_t n) { return Wide128{64} + n / 8 + (n % 8 != 0); };
    if (whole) return {reserve, 0, bytes(size), optional};
    return {reserve, begin == 0 ? 0 : bytes(begin), bytes(end), optional};
  }
  bool RangeIsSound(bool has_size) const {
    if (begin % 8 != 0 || begin > end || end * Wide128{SizeOf(dtype)} >= kAddresses) return false;
    return !has_size || end == size || (end % 8 == 0 && end < size);
  }
  std::string Text() const {
    std::string text = DtypeName(dtype);
    for (const uint64_t n : {size, begin, end, x, y, noise, reserve}) text += " " + std::to_string(n);
    return text;
  }
};

bool ForwardIsValid(const Case& c) {
  const Part x = c.Elements(c.x), y = c.Elements(c.y), noise = c.Elements(c.noise, true);
  const Part reserve = c.Reserve(false, true);
  if (!c.RangeIsSound(true)) return false;
  for (const Part& part : {x, y, noise, reserve}) {
    if (!part.IsSound()) return false;
  }
  return !MeetPartly(x, y) && !Meet(noise, x) && !Meet(noise, y) && !Meet(reserve, x) && !Meet(reserve, y) &&
         !Meet(reserve, noise);
}

bool BackwardIsValid(const Case& c) {
  const Part dy = c.Elements(c.x), noise = c.Elements(c.noise), dx = c.Elements(c.y);
  return c.RangeIsSound(false) && dy.IsSound() && noise.IsSound() && dx.IsSound() && !MeetPartly(dx, dy) &&
         !MeetPartly(dx, noise);
}

bool ReserveBackwardIsValid(const Case& c) {
  const Part dy = c.Elements(c.x), dx = c.Elements(c.y), reserve = c.Reserve(true, false);
  return c.RangeIsSound(true) && dy.IsSound() && dx.IsSound() && reserve.IsSound() && !MeetPartly(dx, dy) &&
         !Meet(dx, reserve);
}

ort_rrelu_params Params(int32_t dtype) {
  return {sizeof(ort_rrelu_params), dtype, 0.125f, 0.25f, 1, 1, 42, 7, nullptr, 0};
}

void* At(uint64_t address) { return reinterpret_cast<void*>(static_cast<uintptr_t>(address)); }

int valid = 0, refused = 0;

template <class Call>
void ExpectSame(const Call& call, bool is_valid, const char* name, const Case& c, Expectations& expect) {
  std::string error;
  try {
    CheckCall(call);
  } catch (const Error& e) {
    error = e.message;
  }
  if (error.empty() != is_valid) expect.That(false, name, " ", c.Text(), ": ", error);
  ++(is_valid ? valid : refused);
}

// No address is followed here.
void CheckRules(const Case& c, Expectations& expect) {
  const ort_rrelu_params params = Params(c.dtype);
  const Range range = {c.begin, c.end};
  void *x = At(c.x), *y = At(c.y), *noise = At(c.noise), *reserve = At(c.reserve);
  ExpectSame(ForwardCall{params, x, y, noise, reserve, c.size, range}, ForwardIsValid(c), "forward", c,
             expect);
  ExpectSame(BackwardCall{params, x, noise, y, range}, BackwardIsValid(c), "backward", c, expect);
  const uint64_t bytes = ort_rrelu_reserve_bytes(c.size);
  ExpectSame(ReserveBackwardCall{params, x, reserve, bytes, y, c.size, range}, ReserveBackwardIsValid(c),
             "backward from a reserve", c, expect);
}

// One type of each size, which is all that these rules see of a type.
constexpr int32_t kTypes[] = {ORT_RRELU_FLOAT16, ORT_RRELU_FLOAT, ORT_RRELU_DOUBLE};

// Numbers around which sums and products of bytes start again at 0.
std::vector<uint64_t> Numbers() {
  std::vector<uint64_t> numbers = {0, 8, 20, kMost, kMost - 7};
  for (const int power : {32, 60, 61, 62, 63}) {
    const uint64_t number = uint64_t{1} << power;
    numbers.insert(numbers.end(), {number - 8, number - 1, number, number + 8});
  }
  return numbers;
}

void CheckNumbers(Expectations& expect) {
  const std::vector<uint64_t> numbers = Numbers();
  const uint64_t apart[] = {uint64_t{1} << 40, uint64_t{1} << 44, uint64_t{1} << 46, uint64_t{3} << 44};
  for (const int32_t dtype : kTypes) {
    for (const uint64_t size : numbers) {
      for (const uint64_t begin : numbers) {
        for (const uint64_t end : numbers) {
          CheckRules({dtype, size, begin, end, 0, 0, 0, 0}, expect);
          CheckRules({dtype, size, begin, end, apart[0], apart[1], apart[2], apart[3]}, expect);
        }
      }
    }
  }
}

// Places close to each other, to the end of addresses, and null: 20 elements and less.
void CheckAddresses(Expectations& expect) {
  const uint64_t places[] = {0,          4096,       4096 + 4,    4096 + 66,   4096 + 160, 8192,
                             kMost - 15, kMost - 67, kMost - 159, kMost - 160, kMost};
  for (const auto& [begin, end] : std::vector<Range>{{0, 20}, {8, 16}, {8, 8}}) {
    for (const int32_t dtype : kTypes) {
      for (const uint64_t x : places) {
        for (const uint64_t y : places) {
          for (const uint64_t noise : places) {
            for (const uint64_t reserve : places) {
              CheckRules({dtype, 20, begin, end, x, y, noise, reserve}, expect);
            }
          }
        }
      }
    }
  }
}

// What is not refused must have done its work, which a range beyond its arrays would not survive. On CUDA 2
// says that the machine cannot.
class Calls {
 public:
  Calls(const Case& c, Expectations& expect) : case_(c), params_(Params(c.dtype)), expect_(expect) {}

  void Forward(const void* x, void* y, void* noise, void* reserve, bool is_valid) {
    Same(ort_rrelu_forward(&params_, x, y, noise, reserve, case_.size, case_.begin, case_.end, message_,
                           sizeof message_),
         is_valid, "forward");
  }

  void Backward(const void* dy, const void* noise, void* dx, bool is_valid) {
    Same(ort_rrelu_backward(&params_, dy, noise, dx, case_.begin, case_.end, message_, sizeof message_),
         is_valid, "backward");
  }

  // With null for every array.
  void AllNull() {
    const uint64_t size = case_.size, begin = case_.begin, end = case_.end;
    const uint64_t bytes = ort_rrelu_reserve_bytes(size);
    const ort_rrelu_cuda cuda = {sizeof(ort_rrelu_cuda), 0, nullptr, nullptr, nullptr, nullptr};
    Forward(nullptr, nullptr, nullptr, nullptr, ForwardIsValid(case_));
    Backward(nullptr, nullptr, nullptr, BackwardIsValid(case_));
    Same(ort_rrelu_backward_reserve(&params_, nullptr, nullptr, bytes, nullptr, size, begin, end, message_,
                                    sizeof message_),
         false, "backward from a reserve");
    Same(ort_rrelu_cuda_forward(&params_, &cuda, nullptr, nullptr, nullptr, nullptr, size, begin, end,
                                message_, sizeof message_),
         ForwardIsValid(case_), "forward on CUDA");
    Same(ort_rrelu_cuda_backward(&params_, &cuda, nullptr, nullptr, nullptr, begin, end, message_,
                                 sizeof message_),
         BackwardIsValid(case_), "backward on CUDA");
    Same(ort_rrelu_cuda_backward_reserve(&params_, &cuda, nullptr, nullptr, bytes, nullptr, size, begin, end,
                                         message_, sizeof message_),
         false, "backward from a reserve on CUDA");
  }

 private:
  void Same(int code, bool is_valid, const char* call) {
    expect_.That((code == 1) != is_valid, call, " ", case_.Text(), ": ", code, " ", message_);
  }

  const Case& case_;
  const ort_rrelu_params params_;
  Expectations& expect_;
  char message_[512] = "";
};

void CheckCalls(Expectations& expect) {
  std::vector<double> x(20, -1.0), y(20), noise(20);
  std::vector<uint8_t> reserve(ort_rrelu_reserve_bytes(20));
  for (const int dtype : schema::kElementTypes) {
    for (const uint64_t size : Numbers()) {
      for (const uint64_t end : Numbers()) {
        const Case c = {dtype, size, 0, end, 0, 0, 0, 0};
        Calls calls(c, expect);
        calls.AllNull();
        if (size < end || end > x.size()) continue;
        calls.Forward(x.data(), y.data(), noise.data(), reserve.data(), c.RangeIsSound(true));
        calls.Backward(x.data(), noise.data(), y.data(), true);
      }
    }
  }
}

}  // namespace
}  // namespace ort_rrelu

int main() {
  ort_rrelu::Expectations expect;
  ort_rrelu::CheckNumbers(expect);
  ort_rrelu::CheckAddresses(expect);
  ort_rrelu::CheckCalls(expect);
  expect.That(ort_rrelu::valid > 1000 && ort_rrelu::refused > 1000, "too few cases of one kind");
  return expect.Result();
}
