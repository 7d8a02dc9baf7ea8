// What a kernel is made from.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "onnxruntime_c_api.h"
#include "schema.h"

namespace ort_rrelu {

// The element types that a kernel's type variables stand for, in the order of schema::Variable.
using Elements = std::array<int, schema::kVariables>;

struct KernelContext {
  const OrtApi& api;
  const OrtKernelInfo* info;
  Elements elements;
  std::optional<int64_t> session_seed;  // register(seed=)
};

}  // namespace ort_rrelu
