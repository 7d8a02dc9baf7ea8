// A fault in host memory that the device can write to: what a kernel found wrong, for the host to tell later,
// without synchronisation.
#pragma once

#include <string>

#include "rrelu.h"

namespace ort_rrelu::cuda {

class Fault {
 public:
  Fault() = default;
  ~Fault();
  Fault(const Fault&) = delete;
  Fault& operator=(const Fault&) = delete;

  // Takes the memory, once, before the first kernel. Returns what went wrong, or "".
  std::string Allocate();
  ort_rrelu_fault* on_device() const { return on_device_; }
  // What a kernel has raised since the last call, or "".
  std::string Take();

 private:
  ort_rrelu_fault* on_host_ = nullptr;
  ort_rrelu_fault* on_device_ = nullptr;
};

}  // namespace ort_rrelu::cuda
