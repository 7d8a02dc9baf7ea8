// The rules of check.h and their messages.
#include "check.h"

#include <cmath>
#include <cstddef>
#include <cstdio>
#include <cstring>
#include <initializer_list>
#include <optional>
#include <string>

#include "element.h"
#include "error.h"
#include "fault.h"

namespace ort_rrelu {
namespace {

// Parameters.

std::string Text(float value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.9g", static_cast<double>(value));
  return text;
}

float InDtype(int32_t dtype, float value) {
  return WithElement(dtype, [value](auto element) {
    using T = decltype(element);
    return static_cast<float>(ToWide(FromFloat<T>(value)));
  });
}

// argument(): its name and value, which only an error needs.
template <class F>
void CheckFinite(float value, int32_t dtype, const F& argument) {
  if (!std::isfinite(value)) Refuse(argument() + " is not a finite float");
  if (!std::isfinite(InDtype(dtype, value))) Refuse(argument() + " is not finite in " + DtypeName(dtype));
}

void CheckDtype(int32_t dtype) {
  if (DtypeName(dtype) != nullptr) return;
  Refuse("dtype=" + std::to_string(dtype) +
         " is not supported: it must be float (1), float16 (10), double (11) or bfloat16 (16)");
}

// Ranges.

std::string RangeText(Range range) {
  return "range [" + std::to_string(range.begin) + ", " + std::to_string(range.end) + ")";
}

void CheckRange(Range range) {
  if (range.begin % 8 == 0 && range.begin <= range.end) return;
  Refuse(RangeText(range) + ": begin must be a multiple of 8, and at most end");
}

// Two calls never write bits of one byte of a reserve.
void CheckRange(Range range, uint64_t size) {
  CheckRange(range);
  if (range.end == size || (range.end % 8 == 0 && range.end < size)) return;
  Refuse(RangeText(range) + " of " + std::to_string(size) +
         " elements: end must be a multiple of 8, or the number of elements");
}

// A number of bytes that starts again at 0 would make the largest arrays look empty.
void CheckByteCount(Range range, int32_t dtype) {
  const uint64_t size = SizeOf(dtype);
  if (range.end <= UINTPTR_MAX / size) return;
  Refuse(RangeText(range) + " of elements of " + std::to_string(size) + " bytes: end must be at most " +
         std::to_string(UINTPTR_MAX / size) + ", where addresses end");
}

void CheckRows(uint64_t rows, uint64_t size) {
  if (rows == 0 || (rows <= kMostRows && size % rows == 0)) return;
  Refuse("params.rows=" + std::to_string(rows) + ": rows must divide the " + std::to_string(size) +
         " elements, and be at most 2^60");
}

// Addresses.

// The part of an argument that a call may touch. Its range has passed CheckByteCount. Element 0 may lie
// anywhere: of a tensor larger than memory a caller has only the range, and counts back from it.
struct Part {
  const char* name;
  const void* data;
  uint64_t offset, bytes;
  uintptr_t Begin() const { return reinterpret_cast<uintptr_t>(data) + static_cast<uintptr_t>(offset); }
  uintptr_t End() const { return Begin() + static_cast<uintptr_t>(bytes); }
  bool Fits() const { return bytes <= UINTPTR_MAX - Begin(); }
};

Part PartOf(const char* name, const void* data, Range range, int32_t dtype) {
  const uint64_t size = SizeOf(dtype);
  return {name, data, range.begin * size, (range.end - range.begin) * size};
}

// What backward reads, and what forward writes: the bits of a range, and header and steps in the first.
Part WholeReserve(const void* data, uint64_t bytes) { return {"reserve", data, 0, bytes}; }

Part PartOfReserve(const ForwardCall& call) {
  const uint64_t rows = call.params.rows;
  const uint64_t offset = call.range.begin == 0 ? 0 : ReserveBytes(call.range.begin, rows);
  return {"reserve", call.reserve, offset, ReserveBytes(call.range.end, rows) - offset};
}

Part StepsOf(const ForwardCall& call) {
  return {"params.steps", call.params.steps, 0, call.params.rows * sizeof(uint64_t)};
}

void CheckAddress(const Part& part) {
  if (part.bytes == 0 || part.Fits()) return;
  Refuse(std::string(part.name) + " has " + std::to_string(part.bytes) + " bytes from address " +
         std::to_string(part.Begin()) + " on: they must end before 2^" +
         std::to_string(8 * sizeof(uintptr_t)));
}

void CheckPresent(const Part& part) {
  if (part.bytes == 0) return;
  if (part.data == nullptr) Refuse(std::string(part.name) + " is null");
  CheckAddress(part);
}

// One that may be null.
void CheckOptional(const Part& part) {
  if (part.data != nullptr) CheckAddress(part);
}

bool Overlap(const Part& a, const Part& b) {
  if (a.data == nullptr || b.data == nullptr || a.bytes == 0 || b.bytes == 0) return false;
  return a.Begin() < b.End() && b.Begin() < a.End();
}

[[noreturn]] void RefuseOverlap(const Part& a, const Part& b, const char* rule) {
  Refuse(std::string(a.name) + " overlaps " + b.name + ": it must be " + rule);
}

void CheckApart(const Part& a, const Part& b) {
  if (Overlap(a, b)) RefuseOverlap(a, b, "apart");
}

void CheckSameOrApart(const Part& a, const Part& b) {
  if (a.data != b.data && Overlap(a, b)) RefuseOverlap(a, b, "the same array or apart");
}

struct Address {
  const char* name;
  const void* data;
};

// The device stops a whole process that reads an element at an odd address.
void CheckAligned(std::initializer_list<Address> addresses, int32_t dtype) {
  const uint64_t size = SizeOf(dtype);
  for (const auto& [name, data] : addresses) {
    if (reinterpret_cast<uintptr_t>(data) % size == 0) continue;
    Refuse(std::string(name) + " is not aligned to its elements of " + std::to_string(size) + " bytes");
  }
}

// Reserves.

constexpr const char* kUnusedBits = "reserve has bits other than 0 after its last element: they must be 0";

std::string Hex(uint32_t value) {
  char text[11];
  std::snprintf(text, sizeof text, "0x%08x", value);
  return text;
}

[[noreturn]] void RefuseRows(const ReserveHeader& header) {
  Refuse("reserve has another length than the " + std::to_string(header.rows) +
         " steps of rows of its header ask for");
}

std::string DtypeText(uint32_t dtype) {
  const char* name = DtypeName(static_cast<int32_t>(dtype));
  return name != nullptr ? name : std::to_string(dtype);
}

}  // namespace

ort_rrelu_params ReadStruct(const ort_rrelu_params* params) {
  if (params == nullptr) Refuse("params is null");
  if (params->struct_size == sizeof(ort_rrelu_params)) return *params;
  constexpr uint32_t kWithoutRows = offsetof(ort_rrelu_params, steps);
  if (params->struct_size == kWithoutRows) {
    ort_rrelu_params completed{};
    std::memcpy(&completed, params, kWithoutRows);
    return completed;
  }
  Refuse("params.struct_size=" + std::to_string(params->struct_size) + ": this library expects " +
         std::to_string(sizeof(ort_rrelu_params)) + ", or " + std::to_string(kWithoutRows) + " without rows");
}

void CheckStruct(const ort_rrelu_cuda* cuda) {
  if (cuda == nullptr) Refuse("cuda is null");
  if (cuda->struct_size == sizeof(ort_rrelu_cuda) && cuda->zero == 0) return;
  Refuse("cuda.struct_size=" + std::to_string(cuda->struct_size) +
         ", cuda.zero=" + std::to_string(cuda->zero) + ": this library expects " +
         std::to_string(sizeof(ort_rrelu_cuda)) + " and 0");
}

void CheckParams(const ort_rrelu_params& params) {
  const auto lower = [&] { return "lower=" + Text(params.lower); };
  const auto upper = [&] { return "upper=" + Text(params.upper); };
  CheckDtype(params.dtype);
  if (params.training != 0 && params.training != 1) {
    Refuse("training=" + std::to_string(params.training) + ": it must be 0 or 1");
  }
  CheckFinite(params.lower, params.dtype, lower);
  CheckFinite(params.upper, params.dtype, upper);
  if (params.lower > params.upper) {
    Refuse(lower() + " is greater than " + upper() + ": lower must not exceed upper");
  }
  const float span = params.upper - params.lower;
  CheckFinite(span, params.dtype,
              [&] { return "upper - lower = " + Text(span) + " (" + lower() + ", " + upper() + ")"; });
}

void CheckCall(const ForwardCall& call) {
  const int32_t dtype = call.params.dtype;
  CheckParams(call.params);
  CheckRange(call.range, call.size);
  CheckByteCount(call.range, dtype);
  CheckRows(call.params.rows, call.size);
  const Part x = PartOf("x", call.x, call.range, dtype);
  const Part y = PartOf("y", call.y, call.range, dtype);
  const Part noise = PartOf("noise", call.noise, call.range, dtype);
  const Part reserve = PartOfReserve(call);
  CheckPresent(x);
  CheckPresent(y);
  CheckOptional(noise);
  CheckOptional(reserve);
  CheckSameOrApart(y, x);
  CheckApart(noise, x);
  CheckApart(noise, y);
  CheckApart(reserve, x);
  CheckApart(reserve, y);
  CheckApart(reserve, noise);
  if (call.params.rows == 0) return;
  const Part steps = StepsOf(call);
  CheckPresent(steps);
  CheckApart(y, steps);
  CheckApart(noise, steps);
  CheckApart(reserve, steps);
}

void CheckCall(const BackwardCall& call) {
  const int32_t dtype = call.params.dtype;
  CheckDtype(dtype);
  CheckRange(call.range);
  CheckByteCount(call.range, dtype);
  const Part dy = PartOf("dy", call.dy, call.range, dtype);
  const Part noise = PartOf("noise", call.noise, call.range, dtype);
  const Part dx = PartOf("dx", call.dx, call.range, dtype);
  CheckPresent(dy);
  CheckPresent(noise);
  CheckPresent(dx);
  CheckSameOrApart(dx, dy);
  CheckSameOrApart(dx, noise);
}

void CheckCall(const ReserveBackwardCall& call) {
  const int32_t dtype = call.params.dtype;
  CheckDtype(dtype);
  CheckRange(call.range, call.size);
  CheckByteCount(call.range, dtype);
  const Part dy = PartOf("dy", call.dy, call.range, dtype);
  const Part dx = PartOf("dx", call.dx, call.range, dtype);
  const Part reserve = WholeReserve(call.reserve, ReserveBytes(call.size));
  CheckPresent(dy);
  CheckPresent(reserve);
  CheckPresent(dx);
  CheckSameOrApart(dx, dy);
  CheckApart(dx, reserve);
  CheckReserveBytes(call.reserve_bytes, call.size);
  const Part with_steps = WholeReserve(call.reserve, call.reserve_bytes);
  CheckAddress(with_steps);
  CheckApart(dx, with_steps);
}

void CheckAligned(const ForwardCall& call) {
  CheckAligned({{"x", call.x}, {"y", call.y}, {"noise", call.noise}}, call.params.dtype);
}

void CheckAligned(const BackwardCall& call) {
  CheckAligned({{"dy", call.dy}, {"noise", call.noise}, {"dx", call.dx}}, call.params.dtype);
}

void CheckAligned(const ReserveBackwardCall& call) {
  CheckAligned({{"dy", call.dy}, {"dx", call.dx}}, call.params.dtype);
}

void CheckReserveBytes(uint64_t bytes, uint64_t size) {
  const uint64_t least = ReserveBytes(size);
  if (bytes == least) return;
  if (bytes > least && (bytes - least) % sizeof(uint64_t) == 0) {
    const uint64_t rows = RowsOfReserve(bytes, size);
    if (rows >= 2 && rows <= kMostRows && size % rows == 0) return;
  }
  Refuse("reserve has " + std::to_string(bytes) + " bytes: it must have " + std::to_string(least) + " for " +
         std::to_string(size) + " elements, and 8 more for each row that has a step of its own");
}

void CheckReserveHeader(const ReserveHeader& header, int32_t dtype, uint64_t size, uint64_t rows) {
  if (header.magic != kReserveMagic) {
    Refuse("reserve begins with " + Hex(header.magic) + ": it must be what RRelu wrote, which begins with " +
           Hex(kReserveMagic));
  }
  if (header.version != kReserveVersion && header.version != kReserveRowsVersion) {
    Refuse("reserve has version " + std::to_string(header.version) + ": this library reads versions " +
           std::to_string(kReserveVersion) + " and " + std::to_string(kReserveRowsVersion));
  }
  if (header.dtype != static_cast<uint32_t>(dtype)) {
    Refuse("reserve is of type " + DtypeText(header.dtype) + ": it must be " + DtypeName(dtype));
  }
  if (header.size != size) {
    Refuse("reserve is of " + std::to_string(header.size) + " elements: it must be " + std::to_string(size));
  }
  const bool has_rows = header.version == kReserveRowsVersion;
  if ((header.rows != 0 && !has_rows) || header.zero != 0) {
    Refuse("reserve has bytes other than 0 at the end of its header: they must be 0");
  }
  if (has_rows && header.step != 0) {
    Refuse("reserve has step " + std::to_string(header.step) + " beside steps of rows: it must be 0");
  }
  if (has_rows && (header.rows < 2 || size % header.rows != 0)) {
    Refuse("reserve is of " + std::to_string(header.rows) + " rows: they must be 2 or more, and divide the " +
           std::to_string(size) + " elements");
  }
  if (header.rows != rows) RefuseRows(header);
  WithPrefix("in the reserve, ", [&] { CheckParams(ParamsOf(header, {})); });
}

void CheckReserve(const void* reserve, uint64_t bytes, int32_t dtype, uint64_t size) {
  CheckReserveBytes(bytes, size);
  const uint64_t rows = RowsOfReserve(bytes, size);
  CheckReserveHeader(ReadReserveHeader(reserve), dtype, size, rows);
  if (!UnusedBitsAreZero(reserve, size, rows)) Refuse(kUnusedBits);
}

void CheckFault(ort_rrelu_fault& fault) {
  const std::optional<ort_rrelu_fault> found = TakeFault(fault);
  if (!found) return;
  const ReserveHeader header = ReadReserveHeader(found->header);
  CheckReserveHeader(header, found->dtype, found->size, header.rows);
  if (found->raised == kRowsFault) RefuseRows(header);
  Refuse(kUnusedBits);
}

}  // namespace ort_rrelu
