// OrtStatus <-> C++ exceptions, at the boundary with ONNX Runtime.
#pragma once

#include <exception>
#include <string>

#include "onnxruntime_c_api.h"

namespace ort_rrelu {

// An OrtStatus in flight.
struct OrtFailure {
  OrtStatus* status;
};

// What the user did wrong.
struct InvalidArgument {
  std::string message;
};

inline void Check(OrtStatus* status) {
  if (status != nullptr) throw OrtFailure{status};
}

// Runs f(); whatever it throws comes back as an OrtStatus, which ONNX Runtime releases.
template <class F>
OrtStatus* Guard(const OrtApi& api, F f) noexcept {
  try {
    f();
    return nullptr;
  } catch (const OrtFailure& failure) {
    return failure.status;
  } catch (const InvalidArgument& error) {
    return api.CreateStatus(ORT_INVALID_ARGUMENT, error.message.c_str());
  } catch (const std::exception& error) {
    return api.CreateStatus(ORT_FAIL, error.what());
  }
}

}  // namespace ort_rrelu
