// A fuzzer of the C API. Bytes become a call: parameters, sizes, windows, and arrays that may share memory.
// Each answer, and each byte of the memory after it, is compared with the oracle's.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <vector>

#include "fuzzer/FuzzedDataProvider.h"
#include "memory.h"
#include "oracle.h"
#include "rrelu.h"

namespace {

using namespace fuzz;

constexpr uint64_t kFar[] = {0, 0, 0, 8, uint64_t{1} << 35, (uint64_t{1} << 40) + 8};
constexpr uint64_t kOfTwoThreads = 300000;
constexpr float kBounds[] = {0.0f,     -0.0f,    0.125f,  1.0f / 3, 1.0f, -1.0f,
                             65504.0f, 65520.0f, 3.4e38f, 1e-45f,   NAN,  INFINITY};

[[noreturn]] void Fail(const char* what, const ort_rrelu_params& p) {
  std::fprintf(stderr, "%s: dtype %d, bounds %.9g %.9g, training %d, rows %llu\n", what, p.dtype,
               static_cast<double>(p.lower), static_cast<double>(p.upper), p.training,
               static_cast<unsigned long long>(p.rows));
  std::abort();
}

class Call {
 public:
  explicit Call(FuzzedDataProvider& data) : data_(data) { MakeParams(); }

  void Run() {
    switch (data_.ConsumeIntegralInRange(0, 3)) {
      case 0:
        return Check();
      case 1:
        return Forward();
      case 2:
        return Backward();
      default:
        return BackwardReserve();
    }
  }

 private:
  template <class T, size_t n>
  T Pick(const T (&values)[n]) {
    return values[data_.ConsumeIntegralInRange<size_t>(0, n - 1)];
  }
  bool Rarely() { return data_.ConsumeIntegralInRange(0, 15) == 15; }

  void MakeParams() {
    constexpr int32_t dtypes[] = {ORT_RRELU_FLOAT, ORT_RRELU_DOUBLE, ORT_RRELU_FLOAT16, ORT_RRELU_BFLOAT16};
    p_ = {};
    p_.struct_size = Rarely() ? data_.ConsumeIntegral<uint32_t>() : data_.ConsumeBool() ? 56 : 40;
    p_.dtype = Rarely() ? data_.ConsumeIntegral<int32_t>() : Pick(dtypes);
    p_.lower = data_.ConsumeBool() ? Pick(kBounds) : oracle::Bits<float>(data_.ConsumeIntegral<uint32_t>());
    p_.upper = data_.ConsumeBool() ? Pick(kBounds) : p_.lower;
    p_.training = Rarely() ? data_.ConsumeIntegral<int32_t>() : data_.ConsumeBool();
    p_.num_threads = Rarely() ? data_.ConsumeIntegral<int32_t>() : data_.ConsumeIntegralInRange(0, 3);
    p_.seed = data_.ConsumeIntegral<uint64_t>();
    p_.step = data_.ConsumeIntegral<uint64_t>();
  }

  bool GoodStruct() const { return p_.struct_size == 40 || p_.struct_size == 56; }
  bool HasRows() const { return p_.struct_size == 56 && p_.rows != 0; }

  // What the library makes of the parameters.
  ort_rrelu_params Read() const {
    ort_rrelu_params read = p_;
    if (p_.struct_size != 56) read.rows = 0;
    return read;
  }

  void MakeSize(bool far) {
    const int usual = data_.ConsumeIntegralInRange(0, 63);
    const uint64_t most = usual == 63 ? 20000 : usual == 62 && Rarely() ? kOfTwoThreads : 300;
    far_ = far ? Pick(kFar) : 0;
    size_ = far_ + data_.ConsumeIntegralInRange<uint64_t>(0, most);
    begin_ = far_ + data_.ConsumeIntegralInRange<uint64_t>(0, size_ - far_) / 8 * 8;
    end_ = data_.ConsumeBool() ? size_
                               : begin_ + data_.ConsumeIntegralInRange<uint64_t>(0, size_ - begin_) / 8 * 8;
    if (Rarely()) begin_ += data_.ConsumeIntegralInRange<uint64_t>(0, 8);
    if (Rarely()) end_ += data_.ConsumeIntegralInRange<uint64_t>(0, 8);
    if (data_.ConsumeBool()) return;
    p_.rows = far_ != 0 ? 1 : data_.ConsumeIntegralInRange<uint64_t>(0, 40);
    if (far_ == 0 && p_.rows > 1 && !Rarely()) {  // so that they divide it
      size_ -= size_ % p_.rows;
      begin_ = 0;
      end_ = size_;
    }
  }

  Block* NewBlock(uint64_t bytes) {
    std::vector<uint8_t> filled(bytes);
    const std::vector<uint8_t> some =
        data_.ConsumeBytes<uint8_t>(data_.ConsumeIntegralInRange<size_t>(0, 64));
    for (uint64_t i = 0; i < bytes; ++i)
      filled[i] = some.empty() ? i : some[i % some.size()] + (i / some.size()) * 37;
    blocks_.push_back(std::make_unique<Block>(filled));
    return blocks_.back().get();
  }

  uint64_t Elements() const { return end_ > begin_ ? end_ - begin_ : 0; }

  // An array of its own, or one that begins somewhere in the block of `other`, which has room for it.
  Array MakeElements(const Array* other) {
    const uint64_t size = oracle::BytesOf(p_.dtype) ? oracle::BytesOf(p_.dtype) : 4;
    Array array;
    array.bytes = Elements() * size;
    array.back = begin_ * size;
    if (other != nullptr && other->block != nullptr && data_.ConsumeBool()) {
      array.block = other->block;
      const uint64_t room = array.block->expected.size() - array.bytes;
      array.offset =
          data_.ConsumeBool() ? other->offset : data_.ConsumeIntegralInRange<uint64_t>(0, room / size) * size;
      return array;
    }
    array.block = NewBlock(array.bytes + (data_.ConsumeBool() ? 0 : array.bytes + 64));
    return array;
  }

  // At any address; rarely in the block of another array.
  Array MakeBytes(uint64_t bytes, const Array* other) {
    Array array;
    array.bytes = bytes;
    if (other != nullptr && other->block != nullptr && other->block->expected.size() >= bytes && Rarely()) {
      array.block = other->block;
      array.offset = data_.ConsumeIntegralInRange<uint64_t>(0, array.block->expected.size() - bytes);
      return array;
    }
    const uint64_t odd = data_.ConsumeIntegralInRange<uint64_t>(0, 3);
    array.block = NewBlock(bytes + odd);
    array.offset = odd;
    return array;
  }

  // After a call: what it returned, what it said, and every byte of every block.
  void Compare(int code, bool refused) {
    if (code != (refused ? 1 : 0)) Fail(refused ? "a bad call was accepted" : "a good call was refused", p_);
    const size_t length = strnlen(message_, sizeof message_);
    if (refused && capacity_ > 0 && (length >= capacity_ || (length == 0 && capacity_ > 1)))
      Fail("no message", p_);
    for (const auto& block : blocks_) CompareBlock(*block);
  }

  void CompareBlock(const Block& block) {
    const size_t bytes = block.expected.size();
    if (std::equal(block.expected.begin(), block.expected.end(), block.now.get())) return;
    if (!nan_ || oracle::BytesOf(p_.dtype) == 0) Fail("other bytes", p_);
    const size_t size = oracle::BytesOf(p_.dtype);
    const size_t rest = bytes % size;
    if (std::memcmp(block.now.get() + bytes - rest, block.expected.data() + bytes - rest, rest) != 0)
      Fail("other bytes at the end", p_);
    for (size_t i = 0; i + size <= bytes; i += size) {  // the bits of NaN are not promised
      const double now = oracle::Read(p_.dtype, block.now.get() + i);
      const double expected = oracle::Read(p_.dtype, block.expected.data() + i);
      if (std::isnan(now) && std::isnan(expected)) continue;
      if (std::memcmp(block.now.get() + i, block.expected.data() + i, size) == 0) continue;
      std::fprintf(stderr, "byte %zu: %.17g instead of %.17g\n", i, now, expected);
      Fail("other elements", p_);
    }
  }

  void Put(const Array& array, uint64_t i, double value) {
    nan_ = nan_ || std::isnan(value);
    const int size = oracle::BytesOf(p_.dtype);
    if (array.block != nullptr) oracle::Write(p_.dtype, array.image() + i * size, value);
  }
  double Get(const Array& array, uint64_t i) const {
    return oracle::Read(p_.dtype, array.image() + i * oracle::BytesOf(p_.dtype));
  }

  char* Message() {
    constexpr size_t capacities[] = {sizeof message_, 0, 1, 20};
    capacity_ = Pick(capacities);
    return message_;
  }

  void Check() {
    if (Rarely()) {
      char* message = Message();
      if (ort_rrelu_check(nullptr, message, capacity_) != 1) Fail("no parameters were accepted", p_);
      return;
    }
    char* message = Message();
    Compare(ort_rrelu_check(&p_, message, capacity_), !GoodStruct() || !oracle::GoodParams(p_));
    const uint64_t size = data_.ConsumeIntegral<uint64_t>(), rows = data_.ConsumeIntegral<uint64_t>() >> 8;
    if (ort_rrelu_reserve_bytes(size) != oracle::ReserveBytes(size, 0)) Fail("bytes of a reserve", p_);
    const uint64_t bytes = rows > uint64_t{1} << 60 ? UINT64_MAX : oracle::ReserveBytes(size, rows);
    if (ort_rrelu_reserve_bytes_of_rows(size, rows) != bytes) Fail("bytes of a reserve with rows", p_);
  }

  void Forward();
  void Backward();
  void BackwardReserve();

  FuzzedDataProvider& data_;
  ort_rrelu_params p_;
  uint64_t far_ = 0, size_ = 0, begin_ = 0, end_ = 0;
  std::vector<std::unique_ptr<Block>> blocks_;
  char message_[512] = {};
  size_t capacity_ = 0;
  bool nan_ = false;
};

void Call::Forward() {
  MakeSize(true);
  const Array x = MakeElements(nullptr);
  const Array y = MakeElements(&x);
  const Array noise = data_.ConsumeBool() ? MakeElements(data_.ConsumeBool() ? &x : &y) : Array{};
  const uint64_t rows = HasRows() ? p_.rows : 0;
  const Array* const others[] = {&x, &y, &noise};
  Array reserve;
  if (data_.ConsumeBool()) {
    const uint64_t before = begin_ == 0 ? 0 : oracle::ReserveBytes(begin_, rows);
    const uint64_t after = oracle::ReserveBytes(end_, rows);
    reserve = MakeBytes(after > before ? after - before : 0, Pick(others));
    reserve.back = before;
  }
  Array steps;
  std::vector<uint64_t> step = {p_.step};
  if (rows != 0 && !Rarely()) {
    steps = MakeBytes(8 * rows, Pick(others));
    step.resize(rows);
    std::memcpy(step.data(), steps.image(), 8 * rows);
  }
  p_.steps = steps.address();

  const ort_rrelu_params read = Read();
  bool good = GoodStruct() && oracle::GoodParams(read) && oracle::GoodRange(begin_, end_, size_);
  good = good && (rows == 0 || (size_ % rows == 0 && steps.block != nullptr));
  good = good && SameOrApart(x, y) && Apart(noise, x) && Apart(noise, y);
  good = good && Apart(reserve, x) && Apart(reserve, y) && Apart(reserve, noise);
  good = good && Apart(steps, y) && Apart(steps, noise) && Apart(steps, reserve);
  if (good) {
    for (uint64_t i = 0; i < Elements(); ++i) {
      const double value = Get(x, i);
      const bool leaks = value <= 0;
      const double factor = leaks ? oracle::Factor(read, step.data(), size_, begin_ + i) : 1;
      Put(y, i, leaks ? oracle::Product(p_.dtype, value, factor) : value);
      Put(noise, i, factor);
      if (reserve.block == nullptr) continue;
      const uint64_t byte = oracle::ReserveBytes(0, rows) + (begin_ + i) / 8 - reserve.back;
      if (i % 8 == 0) reserve.image()[byte] = 0;
      reserve.image()[byte] |= leaks << (i % 8);
    }
    if (reserve.block != nullptr && begin_ == 0) {
      const uint64_t own = rows < 2 ? 0 : rows;
      const uint32_t words[] = {0x6C657272, own ? 2u : 1u, uint32_t(p_.dtype), uint32_t(p_.training)};
      const float bounds[] = {p_.lower, p_.upper};
      const uint64_t wide[] = {p_.seed, own ? 0 : step[0], size_, own, 0};
      std::memcpy(reserve.image(), words, 16);
      std::memcpy(reserve.image() + 16, bounds, 8);
      std::memcpy(reserve.image() + 24, wide, 40);
      if (own) std::memcpy(reserve.image() + 64, step.data(), 8 * own);
    }
  }
  char* message = Message();
  Compare(ort_rrelu_forward(&p_, x.address(), y.address(), noise.address(), reserve.address(), size_, begin_,
                            end_, message, capacity_),
          !good);
}

void Call::Backward() {
  MakeSize(true);
  const Array dy = MakeElements(nullptr);
  const Array noise = MakeElements(&dy);
  const Array dx = MakeElements(data_.ConsumeBool() ? &dy : &noise);
  const bool good = GoodStruct() && oracle::BytesOf(p_.dtype) != 0 && begin_ % 8 == 0 && begin_ <= end_ &&
                    SameOrApart(dx, dy) && SameOrApart(dx, noise);
  if (good) {
    for (uint64_t i = 0; i < Elements(); ++i)
      Put(dx, i, oracle::Product(p_.dtype, Get(dy, i), Get(noise, i)));
  }
  char* message = Message();
  Compare(
      ort_rrelu_backward(&p_, dy.address(), noise.address(), dx.address(), begin_, end_, message, capacity_),
      !good);
}

// A reserve of the library's own forward, which may be spoilt then.
void Call::BackwardReserve() {
  ort_rrelu_params forward = p_;
  forward.struct_size = 56;
  MakeSize(false);
  forward.rows = p_.rows;
  const uint64_t rows = forward.rows;
  if (!oracle::GoodParams(forward) || (rows != 0 && size_ % rows != 0)) return;
  const uint64_t bytes = oracle::ReserveBytes(size_, rows);
  const std::vector<uint8_t> x = data_.ConsumeBytes<uint8_t>(size_ * oracle::BytesOf(p_.dtype));
  std::vector<uint8_t> elements(size_ * oracle::BytesOf(p_.dtype) + 8), made(bytes);
  std::copy(x.begin(), x.end(), elements.begin());
  std::vector<uint64_t> steps(rows);
  for (uint64_t& step : steps) step = data_.ConsumeIntegral<uint64_t>();
  forward.steps = steps.data();
  if (ort_rrelu_forward(&forward, elements.data(), elements.data(), nullptr, made.data(), size_, 0, size_,
                        message_, sizeof message_) != 0) {
    Fail(message_, forward);
  }
  uint64_t length = bytes;
  if (Rarely()) length += data_.ConsumeIntegralInRange(0, 24) - 8;
  const Array dy = MakeElements(nullptr);
  const Array dx = MakeElements(&dy);
  const Array* const others[] = {nullptr, &dy, &dx};
  const Array reserve = MakeBytes(length, Pick(others));
  std::copy_n(made.begin(), std::min(length, bytes), reserve.image());
  const int spoilt = data_.ConsumeBool() ? 0 : data_.ConsumeIntegralInRange(0, 3);
  for (int i = 0; i < spoilt && length > 0; ++i) {
    const uint64_t last = length - 1;  // the bits after the last element are there
    const uint64_t first = data_.ConsumeIntegralInRange(0, 2) == 0 ? last : 0;
    const uint64_t at =
        data_.ConsumeIntegralInRange<uint64_t>(first, first == 0 ? std::min<uint64_t>(63, last) : last);
    reserve.image()[at] ^= data_.ConsumeIntegral<uint8_t>();
  }
  std::copy_n(reserve.image(), length, reserve.data());

  const bool good = GoodStruct() && oracle::GoodRange(begin_, end_, size_) && SameOrApart(dx, dy) &&
                    Apart(dx, reserve) && oracle::GoodReserve(reserve.image(), length, p_.dtype, size_);
  if (good) {
    ort_rrelu_params said{};
    uint64_t wide[4];
    said.dtype = p_.dtype;
    std::memcpy(&said.training, reserve.image() + 12, 4);
    std::memcpy(&said.lower, reserve.image() + 16, 4);
    std::memcpy(&said.upper, reserve.image() + 20, 4);
    std::memcpy(wide, reserve.image() + 24, sizeof wide);
    said.seed = wide[0];
    said.rows = wide[3];
    std::vector<uint64_t> kept = {wide[1]};
    if (said.rows > 0) {
      kept.resize(said.rows);
      std::memcpy(kept.data(), reserve.image() + 64, 8 * said.rows);
    }
    const uint8_t* leaks = reserve.image() + oracle::ReserveBytes(0, said.rows);
    for (uint64_t i = begin_; i < end_; ++i) {
      const double factor = leaks[i / 8] >> (i % 8) & 1 ? oracle::Factor(said, kept.data(), size_, i) : 1;
      Put(dx, i - begin_, oracle::Product(p_.dtype, Get(dy, i - begin_), factor));
    }
  }
  char* message = Message();
  Compare(ort_rrelu_backward_reserve(&p_, dy.address(), reserve.address(), length, dx.address(), size_,
                                     begin_, end_, message, capacity_),
          !good);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  FuzzedDataProvider data(bytes, size);
  Call(data).Run();
  return 0;
}
