#include "reserve.h"

#include <cstdio>
#include <cstring>

#include "check.h"
#include "element.h"

namespace ort_rrelu {
namespace {

std::string Hex(uint32_t value) {
  char text[11];
  std::snprintf(text, sizeof text, "0x%08x", value);
  return text;
}

std::string DtypeText(uint32_t dtype) {
  const char* name = DtypeName(static_cast<int32_t>(dtype));
  return name != nullptr ? name : std::to_string(dtype);
}

constexpr const char* kUnusedBits = "reserve has bits other than 0 after its last element: they must be 0";

// `reserve` has passed CheckReserveBytes.
std::string CheckUnusedBits(const void* reserve, uint64_t size) {
  return size % 8 == 0 || ReserveBits(reserve)[size / 8] >> (size % 8) == 0 ? "" : kUnusedBits;
}

}  // namespace

void WriteReserveHeader(void* reserve, const ReserveHeader& header) {
  std::memcpy(reserve, &header, sizeof header);
}

ReserveHeader ReadReserveHeader(const void* reserve) {
  ReserveHeader header;
  std::memcpy(&header, reserve, sizeof header);
  return header;
}

std::string CheckReserveBytes(uint64_t bytes, uint64_t size) {
  if (bytes == ReserveBytes(size)) return "";
  return "reserve has " + std::to_string(bytes) + " bytes: it must have " +
         std::to_string(ReserveBytes(size)) + " for " + std::to_string(size) + " elements";
}

std::string CheckReserveHeader(const ReserveHeader& header, int32_t dtype, uint64_t size) {
  if (header.magic != kReserveMagic) {
    return "reserve begins with " + Hex(header.magic) + ": it must be what RRelu wrote, which begins with " +
           Hex(kReserveMagic);
  }
  if (header.version != kReserveVersion) {
    return "reserve has version " + std::to_string(header.version) + ": this library reads version " +
           std::to_string(kReserveVersion);
  }
  if (header.dtype != static_cast<uint32_t>(dtype)) {
    return "reserve is of type " + DtypeText(header.dtype) + ": it must be " + DtypeName(dtype);
  }
  if (header.size != size) {
    return "reserve is of " + std::to_string(header.size) + " elements: it must be " + std::to_string(size);
  }
  if (header.zeros[0] != 0 || header.zeros[1] != 0) {
    return "reserve has bytes other than 0 at the end of its header: they must be 0";
  }
  const std::string error = CheckParams(ParamsOf(header, {}));
  return error.empty() ? "" : "in the reserve, " + error;
}

std::string CheckReserveFault(const ort_rrelu_fault& fault) {
  const std::string error = CheckReserveHeader(ReadReserveHeader(fault.header), fault.dtype, fault.size);
  return error.empty() ? kUnusedBits : error;
}

std::string CheckReserve(const void* reserve, uint64_t bytes, int32_t dtype, uint64_t size) {
  if (std::string error = CheckReserveBytes(bytes, size); !error.empty()) return error;
  const std::string error = CheckReserveHeader(ReadReserveHeader(reserve), dtype, size);
  return error.empty() ? CheckUnusedBits(reserve, size) : error;
}

}  // namespace ort_rrelu
