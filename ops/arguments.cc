#include "arguments.h"

#include <initializer_list>

#include "check.h"
#include "element.h"
#include "reserve.h"

namespace ort_rrelu {
namespace {

std::string RangeText(Range range) {
  return "range [" + std::to_string(range.begin) + ", " + std::to_string(range.end) + ")";
}

std::string CheckRange(Range range) {
  if (range.begin % 8 == 0 && range.begin <= range.end) return "";
  return RangeText(range) + ": begin must be a multiple of 8, and at most end";
}

// Two calls never write bits of one byte of a reserve.
std::string CheckRange(Range range, uint64_t size) {
  if (std::string error = CheckRange(range); !error.empty()) return error;
  if (range.end == size || (range.end % 8 == 0 && range.end < size)) return "";
  return RangeText(range) + " of " + std::to_string(size) +
         " elements: end must be a multiple of 8, or the number of elements";
}

// A number of bytes that starts again at 0 would make the largest arrays look empty.
std::string CheckElements(Range range, int32_t dtype) {
  const uint64_t size = SizeOf(dtype);
  if (range.end <= UINTPTR_MAX / size) return "";
  return RangeText(range) + " of elements of " + std::to_string(size) + " bytes: end must be at most " +
         std::to_string(UINTPTR_MAX / size) + ", where addresses end";
}

// The part of an argument that a call may touch. Its range has passed CheckElements. Element 0 may lie
// anywhere: of a tensor larger than memory a caller has only the range, and counts back from it.
struct Array {
  const char* name;
  const void* data;
  uint64_t offset, bytes;
  uintptr_t Begin() const { return reinterpret_cast<uintptr_t>(data) + static_cast<uintptr_t>(offset); }
  uintptr_t End() const { return Begin() + static_cast<uintptr_t>(bytes); }
  bool Fits() const { return bytes <= UINTPTR_MAX - Begin(); }
};

Array Elements(const char* name, const void* data, Range range, int32_t dtype) {
  const uint64_t size = SizeOf(dtype);
  return {name, data, range.begin * size, (range.end - range.begin) * size};
}

// What backward reads, and what forward writes: the bits of a range, and the header in the first.
Array WholeReserve(const void* data, uint64_t size) { return {"reserve", data, 0, ReserveBytes(size)}; }

Array PartOfReserve(const void* data, Range range) {
  const uint64_t offset = range.begin == 0 ? 0 : ReserveBytes(range.begin);
  return {"reserve", data, offset, ReserveBytes(range.end) - offset};
}

std::string CheckAddress(const Array& array) {
  if (array.bytes == 0 || array.Fits()) return "";
  return std::string(array.name) + " has " + std::to_string(array.bytes) + " bytes from address " +
         std::to_string(array.Begin()) + " on: they must end before 2^" +
         std::to_string(8 * sizeof(uintptr_t));
}

std::string CheckPresent(const Array& array) {
  if (array.bytes == 0) return "";
  return array.data == nullptr ? std::string(array.name) + " is null" : CheckAddress(array);
}

// One that may be null.
std::string CheckOptional(const Array& array) { return array.data == nullptr ? "" : CheckAddress(array); }

bool Overlap(const Array& a, const Array& b) {
  if (a.data == nullptr || b.data == nullptr || a.bytes == 0 || b.bytes == 0) return false;
  return a.Begin() < b.End() && b.Begin() < a.End();
}

std::string OverlapText(const Array& a, const Array& b, const char* rule) {
  return std::string(a.name) + " overlaps " + b.name + ": it must be " + rule;
}

std::string CheckApart(const Array& a, const Array& b) {
  return Overlap(a, b) ? OverlapText(a, b, "apart") : "";
}

std::string CheckSameOrApart(const Array& a, const Array& b) {
  if (a.data == b.data || !Overlap(a, b)) return "";
  return OverlapText(a, b, "the same array or apart");
}

std::string FirstError(std::initializer_list<std::string> errors) {
  for (const std::string& error : errors) {
    if (!error.empty()) return error;
  }
  return "";
}

}  // namespace

std::string CheckSize(const ort_rrelu_params* params) {
  if (params == nullptr) return "params is null";
  if (params->struct_size == sizeof(ort_rrelu_params)) return "";
  return "params.struct_size=" + std::to_string(params->struct_size) + ": this library expects " +
         std::to_string(sizeof(ort_rrelu_params));
}

std::string CheckCall(const ForwardCall& call) {
  const int32_t dtype = call.params.dtype;
  std::string error = FirstError({CheckParams(call.params), CheckRange(call.range, call.size)});
  if (error.empty()) error = CheckElements(call.range, dtype);
  if (!error.empty()) return error;
  const Array x = Elements("x", call.x, call.range, dtype);
  const Array y = Elements("y", call.y, call.range, dtype);
  const Array noise = Elements("noise", call.noise, call.range, dtype);
  const Array reserve = PartOfReserve(call.reserve, call.range);
  return FirstError({CheckPresent(x), CheckPresent(y), CheckOptional(noise), CheckOptional(reserve),
                     CheckSameOrApart(y, x), CheckApart(noise, x), CheckApart(noise, y),
                     CheckApart(reserve, x), CheckApart(reserve, y), CheckApart(reserve, noise)});
}

std::string CheckCall(const BackwardCall& call) {
  const int32_t dtype = call.params.dtype;
  std::string error = FirstError({CheckDtype(dtype), CheckRange(call.range)});
  if (error.empty()) error = CheckElements(call.range, dtype);
  if (!error.empty()) return error;
  const Array dy = Elements("dy", call.dy, call.range, dtype);
  const Array noise = Elements("noise", call.noise, call.range, dtype);
  const Array dx = Elements("dx", call.dx, call.range, dtype);
  return FirstError({CheckPresent(dy), CheckPresent(noise), CheckPresent(dx), CheckSameOrApart(dx, dy),
                     CheckSameOrApart(dx, noise)});
}

std::string CheckCall(const ReserveBackwardCall& call) {
  const int32_t dtype = call.params.dtype;
  std::string error = FirstError({CheckDtype(dtype), CheckRange(call.range, call.size)});
  if (error.empty()) error = CheckElements(call.range, dtype);
  if (!error.empty()) return error;
  const Array dy = Elements("dy", call.dy, call.range, dtype);
  const Array dx = Elements("dx", call.dx, call.range, dtype);
  const Array reserve = WholeReserve(call.reserve, call.size);
  return FirstError({CheckPresent(dy), CheckPresent(reserve), CheckPresent(dx), CheckSameOrApart(dx, dy),
                     CheckApart(dx, reserve), CheckReserveBytes(call.reserve_bytes, call.size)});
}

}  // namespace ort_rrelu
