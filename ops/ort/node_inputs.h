// What the kernels of every provider ask of a node's attributes and of the shapes of its inputs. All of it
// throws InvalidArgument with the node's label.
#pragma once

#include <string>

#include "ort/kernel_context.h"
#include "ort/tensors.h"
#include "rrelu.h"

namespace ort_rrelu {

// Those of an RRelu node, checked, with the seed that it shall have. `fresh`: neither node nor session gave
// one, so that it is entropy of this process.
struct NodeParams {
  ort_rrelu_params params;
  bool fresh;
};

NodeParams ReadParams(const KernelContext& context);

// The one element of input `step`, wherever its memory is; nullptr when the node does not have it.
const void* StepInput(const Tensors& tensors, const std::string& label);

// `saved` as noise, or as a reserve.
void CheckNoiseShape(const Tensor& dy, const Tensor& noise, const std::string& label);
void CheckReserveShape(const Tensor& reserve, const std::string& label);

}  // namespace ort_rrelu
