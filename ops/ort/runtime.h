// What the library needs to know of ONNX Runtime itself: with which releases it works, and its errors, which
// are exceptions in between and an OrtStatus at the boundary.
#pragma once

#include <exception>
#include <string>

#include "error.h"
#include "onnxruntime_c_api.h"

#if ORT_API_VERSION < 19
#error "ort_rrelu needs the headers of ONNX Runtime 1.19 or newer (it then runs on 1.17 or newer)"
#endif

namespace ort_rrelu {

// Shape inference, op versions and KernelContext_ParallelFor begin here.
inline constexpr int kOldestRuntime = 17;

// Nothing newer is used; an op of version 19 loads on every later release.
inline constexpr int kNewestApi = 19;

// Older releases, 1.17 to 1.23, crash in custom shape inference on a node with an explicit empty input ("").
inline constexpr int kOldestSafeShapeInference = 24;

// An error of ONNX Runtime's on its way back: it is passed on as it is.
struct OrtFailure {
  OrtStatus* status;
};

inline void Check(OrtStatus* status) {
  if (status != nullptr) throw OrtFailure{status};
}

// Runs f(); whatever it throws comes back as an OrtStatus, which ONNX Runtime releases. Every callback that
// can throw runs in one.
template <class F>
OrtStatus* Guard(const OrtApi& api, const F& f) noexcept {
  try {
    f();
    return nullptr;
  } catch (const OrtFailure& failure) {
    return failure.status;
  } catch (const Error& error) {
    const OrtErrorCode code = error.code == kRefused ? ORT_INVALID_ARGUMENT : ORT_FAIL;
    return api.CreateStatus(code, error.message.c_str());
  } catch (const std::exception& error) {
    return api.CreateStatus(ORT_FAIL, error.what());
  }
}

// The two-call protocol of its getters of strings: size with the final NUL, then the text.
template <class Getter>
std::string ReadString(const Getter& get) {
  size_t size = 0;
  Check(get(nullptr, &size));
  std::string text(size, '\0');
  Check(get(text.data(), &size));
  text.resize(size > 0 ? size - 1 : 0);
  return text;
}

}  // namespace ort_rrelu
