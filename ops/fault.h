// A fault that the device found with a reserve, on its way to the host. Both claim the place before they
// touch it: a fault is told whole and once, the first that is raised stays until it is told, and later ones
// are lost.
#pragma once

#include <atomic>
#include <cstdint>
#include <cstring>
#include <optional>

#include "reserve.h"
#include "rrelu.h"

namespace ort_rrelu {

// Besides the kinds of reserve.h: somebody writes or reads the fault.
inline constexpr uint32_t kFaultClaimed = 3;

inline std::atomic<uint32_t>& RaisedOf(ort_rrelu_fault& fault) {
  using Raised = std::atomic<uint32_t>;
  static_assert(sizeof(Raised) == sizeof fault.raised && Raised::is_always_lock_free);
  return *reinterpret_cast<Raised*>(&fault.raised);
}

// The device's atomic operations are atomic among its own threads alone. The host never writes where it has
// seen no fault, and the device none but there.
ORT_RRELU_HD bool ClaimToRaise(ort_rrelu_fault& fault) {
#if defined(__CUDA_ARCH__)
  if (*const_cast<volatile uint32_t*>(&fault.raised) != 0) return false;
  if (atomicCAS_system(&fault.raised, 0u, kFaultClaimed) != 0) return false;
  __threadfence_system();
  return true;
#else
  uint32_t nothing = 0;
  return RaisedOf(fault).compare_exchange_strong(nothing, kFaultClaimed, std::memory_order_acquire);
#endif
}

// Everything that was written before is seen by who sees the kind.
ORT_RRELU_HD void Publish(ort_rrelu_fault& fault, uint32_t kind) {
#if defined(__CUDA_ARCH__)
  __threadfence_system();
  *const_cast<volatile uint32_t*>(&fault.raised) = kind;
#else
  RaisedOf(fault).store(kind, std::memory_order_release);
#endif
}

// rows: what the length of the reserve says.
ORT_RRELU_HD void RaiseFault(ort_rrelu_fault& fault, const ReserveHeader& header, int32_t dtype,
                             uint64_t size, uint64_t rows) {
  if (!ClaimToRaise(fault)) return;
  memcpy(fault.header, &header, sizeof header);
  fault.dtype = dtype;
  fault.size = size;
  Publish(fault, header.rows == rows ? kFault : kRowsFault);
}

// The fault, which can be raised again then. `raised` of what comes back is its kind.
inline std::optional<ort_rrelu_fault> TakeFault(ort_rrelu_fault& fault) {
  uint32_t kind = RaisedOf(fault).load(std::memory_order_relaxed);
  if (kind == 0 || kind == kFaultClaimed) return std::nullopt;
  if (!RaisedOf(fault).compare_exchange_strong(kind, kFaultClaimed, std::memory_order_acquire)) {
    return std::nullopt;  // another thread tells it
  }
  ort_rrelu_fault found{};
  found.raised = kind;
  found.dtype = fault.dtype;
  found.size = fault.size;
  std::memcpy(found.header, fault.header, sizeof found.header);
  RaisedOf(fault).store(0, std::memory_order_release);
  return found;
}

}  // namespace ort_rrelu
