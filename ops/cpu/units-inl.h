// The units of whole vectors in which kernels take the elements of a range: the last one padded, and Y past
// the caches where it is large. Included once for every instruction set.
#include <algorithm>
#include <cstring>

#include "call.h"
#include "cpu/stream-inl.h"

#if defined(ORT_RRELU_CPU_UNITS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef ORT_RRELU_CPU_UNITS_INL_H_
#undef ORT_RRELU_CPU_UNITS_INL_H_
#else
#define ORT_RRELU_CPU_UNITS_INL_H_
#endif

HWY_BEFORE_NAMESPACE();
namespace ort_rrelu {
namespace HWY_NAMESPACE {

// The arrays from element i on.
template <class T>
Arrays<T> From(const Arrays<T>& arrays, uint64_t i) {
  const auto at = [i](auto* array, uint64_t per_entry) {
    return array == nullptr ? nullptr : array + i / per_entry;
  };
  return {at(arrays.x, 1),
          at(arrays.y, 1),
          at(arrays.saved_noise, 1),
          at(arrays.noise, 1),
          at(arrays.saved_reserve, 8),
          at(arrays.reserve, 8)};
}

// Elements that all kernels take at a time: what ForEachSlopes gives.
HWY_INLINE size_t UnitSize() { return kBlock * Stream::Blocks(); }
constexpr size_t kMaxUnit = size_t{kBlock} * 4 * HWY_MAX_LANES_D(CounterTag);

// The place of a unit that is not full: the last of a range.
template <class T>
class PaddedUnit {
 public:
  PaddedUnit(const Arrays<T>& arrays, size_t size) : arrays_(arrays), size_(size) {
    Copy(x_, arrays.x, size);
    Copy(saved_noise_, arrays.saved_noise, size);
    Copy(saved_reserve_, arrays.saved_reserve, Bytes());
  }

  Arrays<T> Padded() {
    const auto used = [](auto* array, auto* buffer) { return array == nullptr ? nullptr : buffer; };
    return {
        x_, y_, saved_noise_, used(arrays_.noise, noise_), saved_reserve_, used(arrays_.reserve, reserve_)};
  }

  void Write() {
    Copy(arrays_.y, y_, size_);
    Copy(arrays_.noise, noise_, size_);
    if (arrays_.reserve == nullptr) return;
    if (size_ % 8 != 0) reserve_[Bytes() - 1] &= static_cast<uint8_t>((1u << (size_ % 8)) - 1);
    Copy(arrays_.reserve, reserve_, Bytes());
  }

 private:
  template <class Entry>
  static void Copy(Entry* to, const Entry* from, size_t size) {
    if (to != nullptr && from != nullptr) std::memcpy(to, from, size * sizeof(Entry));
  }

  size_t Bytes() const { return (size_ + 7) / 8; }

  const Arrays<T> arrays_;
  const size_t size_;
  // At a cache line, wherever the stack is: no vector straddles two.
  alignas(64) T x_[kMaxUnit] = {}, y_[kMaxUnit], saved_noise_[kMaxUnit] = {}, noise_[kMaxUnit];
  uint8_t saved_reserve_[kMaxUnit / 8] = {}, reserve_[kMaxUnit / 8];
};

// kernel(arrays from element i on, i) for each of the units. Not inlined: whole units and the padded one
// share the kernel's code.
template <class T, class Kernel>
HWY_NOINLINE void ForWholeUnits(Arrays<T> arrays, uint64_t i, uint64_t units, const Kernel& kernel) {
  for (; units > 0; --units, i += UnitSize(), arrays = From(arrays, UnitSize())) kernel(arrays, i);
}

// The same for the units of [begin, end). A tail has no code of its own.
template <class T, class Kernel>
void ForEachUnit(const Arrays<T>& arrays, uint64_t begin, uint64_t end, const Kernel& kernel) {
  const uint64_t units = (end - begin) / UnitSize();
  const uint64_t tail = begin + units * UnitSize();
  ForWholeUnits(From(arrays, begin), begin, units, kernel);
  if (tail == end) return;
  PaddedUnit<T> last(From(arrays, tail), end - tail);
  ForWholeUnits(last.Padded(), tail, 1, kernel);
  last.Write();
}

}  // namespace HWY_NAMESPACE
}  // namespace ort_rrelu
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
