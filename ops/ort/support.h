// Which ONNX Runtime releases the library works with.
#pragma once

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

}  // namespace ort_rrelu
