// What a kernel is made from: its node, with label, element types and attributes, whose types are checked.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>

#include "onnxruntime_c_api.h"
#include "rrelu.h"
#include "schema.h"

namespace ort_rrelu {

// What a kernel's type variables stand for, in the order of schema::Variable.
using ElementTypes = std::array<int, schema::kVariables>;

// Those of an RRelu node, checked, with the seed that it gets. `fresh`: neither node nor session gave
// one, so that it is entropy of this process.
struct RReluParams {
  ort_rrelu_params params;
  bool fresh;
};

class Node {
 public:
  // session_seed: register(seed=).
  Node(const OrtApi& api, const OrtKernelInfo* info, const char* op, const ElementTypes& types,
       std::optional<int64_t> session_seed)
      : api_(api), info_(info), op_(op), types_(types), session_seed_(session_seed) {}

  // `ort_rrelu:RRelu node "relu_3"`, or `... node with output "y"` when it has no name.
  std::string Label() const;
  int32_t dtype() const { return types_[schema::kT]; }
  RReluParams ReadRRelu() const;

 private:
  std::string FirstOutput() const;
  std::optional<uint64_t> GivenSeed() const;

  // The attribute, or the default when the node has none. An INT is accepted as a float where a float holds
  // it exactly (onnx.helper writes lower=0 as INT). Any other type is refused.
  float Float(const char* name, float default_value) const;
  int64_t Int(const char* name, int64_t default_value) const;
  void RefuseOtherTypes(const char* name, const char* wanted) const;
  bool Has(OrtStatus* status) const;

  const OrtApi& api_;
  const OrtKernelInfo* info_;
  const char* op_;
  const ElementTypes types_;
  const std::optional<int64_t> session_seed_;
};

}  // namespace ort_rrelu
