// One run of a kernel: its inputs and outputs as pointers and shapes, what is refused of their shapes, and
// the threads or the stream that it runs on.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "error.h"
#include "ort/runtime.h"

namespace ort_rrelu {

struct Tensor {
  std::vector<int64_t> shape;
  size_t size = 0;
  void* data = nullptr;
};

class Tensors {
 public:
  Tensors(const OrtApi& api, OrtKernelContext* context) : api_(api), context_(context) {}

  // Is the optional input there? It may be left out at the end, or be an empty name.
  const OrtValue* OptionalInput(size_t index) const {
    size_t count = 0;
    Check(api_.KernelContext_GetInputCount(context_, &count));
    if (index >= count) return nullptr;
    const OrtValue* value = nullptr;
    Check(api_.KernelContext_GetInput(context_, index, &value));
    return value;
  }

  Tensor Input(size_t index) const {
    const OrtValue* value = nullptr;
    Check(api_.KernelContext_GetInput(context_, index, &value));
    return Describe(value);
  }

  Tensor Describe(const OrtValue* value) const {
    Tensor tensor;
    OrtTensorTypeAndShapeInfo* info = nullptr;
    Check(api_.GetTensorTypeAndShape(value, &info));
    size_t rank = 0;
    OrtStatus* status = api_.GetDimensionsCount(info, &rank);
    tensor.shape.resize(rank);
    if (status == nullptr) status = api_.GetDimensions(info, tensor.shape.data(), rank);
    if (status == nullptr) status = api_.GetTensorShapeElementCount(info, &tensor.size);
    api_.ReleaseTensorTypeAndShapeInfo(info);
    Check(status);
    Check(api_.GetTensorMutableData(const_cast<OrtValue*>(value), &tensor.data));
    return tensor;
  }

  // The data of an output of the given shape, or nullptr when the node does not have it.
  void* Output(size_t index, const std::vector<int64_t>& shape) const {
    size_t count = 0;
    Check(api_.KernelContext_GetOutputCount(context_, &count));
    if (index >= count) return nullptr;
    OrtValue* value = nullptr;
    Check(api_.KernelContext_GetOutput(context_, index, shape.data(), shape.size(), &value));
    if (value == nullptr) return nullptr;
    void* data = nullptr;
    Check(api_.GetTensorMutableData(value, &data));
    return data;
  }

  // work(context, chunk index) on ONNX Runtime's intra-op threads; one chunk stays on this thread.
  void ParallelFor(size_t chunks, void (*work)(void*, size_t), void* data) const {
    if (chunks == 0) return;
    if (chunks == 1) return work(data, 0);
    Check(api_.KernelContext_ParallelFor(context_, work, chunks, 0, data));
  }

  // The CUDA stream of the run.
  void* Stream() const {
    void* stream = nullptr;
    Check(api_.KernelContext_GetGPUComputeStream(context_, &stream));
    return stream;
  }

 private:
  const OrtApi& api_;
  OrtKernelContext* context_;
};

inline std::string ShapeText(const std::vector<int64_t>& shape) {
  std::string text;
  for (const int64_t dimension : shape) text += (text.empty() ? "" : ", ") + std::to_string(dimension);
  return "[" + text + "]";
}

// Input `step` of RRelu, wherever its memory is: one element, or one for each row of X.
struct Steps {
  bool given = false;
  const void* data = nullptr;
  size_t count = 0;
};

inline Steps StepInput(const Tensors& tensors, const Tensor& x) {
  const OrtValue* value = tensors.OptionalInput(1);
  if (value == nullptr) return {};
  const Tensor step = tensors.Describe(value);
  const bool of_rows = step.shape.size() == 1 && !x.shape.empty() && step.shape[0] == x.shape[0];
  if (step.size == 1 || of_rows) return {true, step.data, step.size};
  const std::string rows =
      x.shape.empty() ? "" : ", or shape [" + std::to_string(x.shape[0]) + "], one for each row";
  Refuse("input step has shape " + ShapeText(step.shape) + ": for X of shape " + ShapeText(x.shape) +
         " it must have one element" + rows);
}

// Input `saved` of RReluGrad, as noise and as a reserve.
inline void CheckNoiseShape(const Tensor& dy, const Tensor& noise) {
  if (dy.shape == noise.shape) return;
  Refuse("dY has shape " + ShapeText(dy.shape) + " and noise " + ShapeText(noise.shape) +
         ": they must be the same");
}

inline void CheckReserveShape(const Tensor& reserve) {
  if (reserve.shape.size() == 1) return;
  Refuse("reserve has shape " + ShapeText(reserve.shape) + ": it must have one dimension");
}

}  // namespace ort_rrelu
