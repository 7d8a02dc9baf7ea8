// OrtCustomOp from a kernel class and its schema: nothing here knows what a kernel computes. Such a class has
// Op, its schema; kProvider; a constructor from its Node; and Compute(tensors), one run. What the two last
// throw gets the node's label.
#pragma once

#include <algorithm>
#include <cstdlib>
#include <iterator>
#include <optional>
#include <string>
#include <vector>

#include "error.h"
#include "ort/node.h"
#include "ort/runtime.h"
#include "ort/tensors.h"
#include "schema.h"

namespace ort_rrelu {

struct CustomOp : OrtCustomOp {
  const OrtApi* api;
  ElementTypes types;
  std::optional<int64_t> session_seed;
};

inline const CustomOp& Self(const OrtCustomOp* op) { return *static_cast<const CustomOp*>(op); }

inline ONNXTensorElementDataType ElementOf(const OrtCustomOp* op, const schema::Value& value) {
  const schema::Type& type = value.type;
  const int element = type.variable == schema::kNoVariable ? type.element : Self(op).types[type.variable];
  return static_cast<ONNXTensorElementDataType>(element);
}

inline OrtCustomOpInputOutputCharacteristic CharacteristicOf(const schema::Value& value) {
  return value.optional ? INPUT_OUTPUT_OPTIONAL : INPUT_OUTPUT_REQUIRED;
}

// ONNX Runtime would write a dimension of unknown size and no name as the size -1, and fold a following
// Shape to it. Unknown rank looks like 0-d here, and would fold a Shape to [].
inline bool CanPassOn(const OrtApi& api, const OrtTensorTypeAndShapeInfo* info) {
  size_t rank = 0;
  Check(api.GetDimensionsCount(info, &rank));
  std::vector<int64_t> sizes(rank);
  std::vector<const char*> names(rank);
  Check(api.GetDimensions(info, sizes.data(), rank));
  Check(api.GetSymbolicDimensions(info, names.data(), rank));
  for (size_t i = 0; i < rank; ++i) {
    if (sizes[i] < 0 && *names[i] == '\0') return false;
  }
  return rank > 0;
}

// Output 0 takes the shape of input 0 as it is, which keeps symbolic dimensions: in-place reuse needs them.
inline OrtStatus* PassShapeOn(const OrtCustomOp* op, OrtShapeInferContext* context) {
  const OrtApi& api = *Self(op).api;
  return Guard(api, [&] {
    OrtTensorTypeAndShapeInfo* info = nullptr;
    Check(api.ShapeInferContext_GetInputTypeShape(context, 0, &info));
    if (CanPassOn(api, info)) Check(api.ShapeInferContext_SetOutputTypeShape(context, 0, info));
  });
}

// The first output may take the buffer of the first input.
inline size_t MayInplace(int** input, int** output) {
  *input = static_cast<int*>(std::calloc(1, sizeof(int)));
  *output = static_cast<int*>(std::calloc(1, sizeof(int)));
  return *input != nullptr && *output != nullptr ? 1 : 0;
}

// A kernel with what its run needs, which ONNX Runtime hands to it without its op.
template <class Kernel>
struct Instance {
  const OrtApi& api;
  const std::string prefix;  // of its errors
  Kernel kernel;
};

template <class Kernel>
OrtStatus* CreateKernel(const OrtCustomOp* op, const OrtApi* api, const OrtKernelInfo* info, void** kernel) {
  return Guard(*api, [&] {
    const CustomOp& self = Self(op);
    const Node node(*self.api, info, Kernel::Op::kName, self.types, self.session_seed);
    const std::string prefix = node.Label() + ": ";
    *kernel =
        WithPrefix(prefix.c_str(), [&] { return new Instance<Kernel>{*self.api, prefix, Kernel(node)}; });
  });
}

template <class Kernel>
OrtStatus* Compute(void* kernel, OrtKernelContext* context) {
  auto& self = *static_cast<Instance<Kernel>*>(kernel);
  return Guard(self.api, [&] {
    WithPrefix(self.prefix.c_str(), [&] { self.kernel.Compute(Tensors(self.api, context)); });
  });
}

template <class Kernel>
struct Callbacks {
  using Op = typename Kernel::Op;

  static void Fill(OrtCustomOp& op) {
    op.GetName = [](const OrtCustomOp*) -> const char* { return Op::kName; };
    op.GetInputTypeCount = [](const OrtCustomOp*) -> size_t { return std::size(Op::kInputs); };
    op.GetInputType = [](const OrtCustomOp* self, size_t i) { return ElementOf(self, Op::kInputs[i]); };
    op.GetInputCharacteristic = [](const OrtCustomOp*, size_t i) { return CharacteristicOf(Op::kInputs[i]); };
    op.GetOutputTypeCount = [](const OrtCustomOp*) -> size_t { return std::size(Op::kOutputs); };
    op.GetOutputType = [](const OrtCustomOp* self, size_t i) { return ElementOf(self, Op::kOutputs[i]); };
    op.GetOutputCharacteristic = [](const OrtCustomOp*, size_t i) {
      return CharacteristicOf(Op::kOutputs[i]);
    };
    op.CreateKernelV2 = CreateKernel<Kernel>;
    op.KernelDestroy = [](void* kernel) { delete static_cast<Instance<Kernel>*>(kernel); };
    op.KernelComputeV2 = Compute<Kernel>;
  }
};

template <class Kernel>
CustomOp MakeCustomOp(const OrtApi* api, int runtime, const ElementTypes& types,
                      std::optional<int64_t> session_seed) {
  CustomOp op{};
  op.version = static_cast<uint32_t>(std::min(runtime, kNewestApi));
  op.api = api;
  op.types = types;
  op.session_seed = session_seed;
  Callbacks<Kernel>::Fill(op);
  op.GetExecutionProviderType = [](const OrtCustomOp*) -> const char* { return Kernel::kProvider; };
  op.GetInputMemoryType = [](const OrtCustomOp*, size_t) { return OrtMemTypeDefault; };
  op.GetVariadicInputMinArity = [](const OrtCustomOp*) { return 1; };
  op.GetVariadicInputHomogeneity = [](const OrtCustomOp*) { return 1; };
  op.GetVariadicOutputMinArity = [](const OrtCustomOp*) { return 1; };
  op.GetVariadicOutputHomogeneity = [](const OrtCustomOp*) { return 1; };
  op.GetStartVersion = [](const OrtCustomOp*) { return schema::kVersion; };
  op.GetEndVersion = [](const OrtCustomOp*) { return schema::kVersion; };
  op.GetMayInplace = MayInplace;
  op.ReleaseMayInplace = [](int* input, int* output) {
    std::free(input);
    std::free(output);
  };
  if (runtime >= kOldestSafeShapeInference) op.InferOutputShapeFn = PassShapeOn;
  return op;
}

// The ops of one provider: those that draw are made for each seed, the others once.
template <class RRelu>
void AddDraws(std::vector<CustomOp>& ops, const OrtApi* api, int runtime, std::optional<int64_t> seed) {
  for (const int dtype : schema::kElementTypes) {
    ops.push_back(MakeCustomOp<RRelu>(api, runtime, {dtype, dtype}, seed));
  }
}

template <class NoiseGrad, class ReserveGrad>
void AddGradients(std::vector<CustomOp>& ops, const OrtApi* api, int runtime) {
  for (const int dtype : schema::kElementTypes) {
    const ElementTypes reserve = {dtype, ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8};
    ops.push_back(MakeCustomOp<NoiseGrad>(api, runtime, {dtype, dtype}, std::nullopt));
    ops.push_back(MakeCustomOp<ReserveGrad>(api, runtime, reserve, std::nullopt));
  }
}

void AddCpuDraws(std::vector<CustomOp>& ops, const OrtApi* api, int runtime, std::optional<int64_t> seed);
void AddCpuGradients(std::vector<CustomOp>& ops, const OrtApi* api, int runtime);

// They are there in a build with CUDA.
void AddCudaDraws(std::vector<CustomOp>& ops, const OrtApi* api, int runtime, std::optional<int64_t> seed);
void AddCudaGradients(std::vector<CustomOp>& ops, const OrtApi* api, int runtime);

}  // namespace ort_rrelu
