// What a kernel may ask of its node: label, output names, attributes with their types checked.
#pragma once

#include <cstdint>
#include <string>

#include "onnxruntime_c_api.h"

namespace ort_rrelu {

class Node {
 public:
  Node(const OrtApi& api, const OrtKernelInfo* info, const char* op) : api_(api), info_(info), op_(op) {}

  // `ort_rrelu:RRelu node "relu_3"`, or `... node with output "y"` when it has no name.
  std::string Label() const;
  std::string FirstOutput() const;

  // The attribute, or the default when the node has none. An INT is accepted as a float where a float holds
  // it exactly (onnx.helper writes lower=0 as INT). Throws InvalidArgument on any other type.
  float Float(const char* name, float default_value) const;
  int64_t Int(const char* name, int64_t default_value) const;

  // Throws InvalidArgument with the node's label before the message.
  [[noreturn]] void Refuse(const std::string& message) const;

 private:
  void RefuseOtherTypes(const char* name, const char* wanted) const;
  bool Has(OrtStatus* status) const;

  const OrtApi& api_;
  const OrtKernelInfo* info_;
  const char* op_;
};

}  // namespace ort_rrelu
