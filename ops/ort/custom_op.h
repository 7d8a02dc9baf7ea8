// OrtCustomOp from a kernel class and its schema. Nothing here knows what the op computes.
#pragma once

#include <algorithm>
#include <cstdlib>
#include <iterator>
#include <optional>
#include <vector>

#include "ort/kernel_context.h"
#include "ort/status.h"
#include "ort/support.h"

namespace ort_rrelu {

struct CustomOp : OrtCustomOp {
  const OrtApi* api;
  Elements elements;
  std::optional<int64_t> session_seed;
};

inline const CustomOp& Self(const OrtCustomOp* op) { return *static_cast<const CustomOp*>(op); }

inline ONNXTensorElementDataType ElementOf(const OrtCustomOp* op, const schema::Value& value) {
  const schema::Type& type = value.type;
  const int element = type.variable == schema::kNoVariable ? type.element : Self(op).elements[type.variable];
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

template <class Kernel>
OrtStatus* CreateKernel(const OrtCustomOp* op, const OrtApi* api, const OrtKernelInfo* info, void** kernel) {
  return Guard(*api, [&] {
    *kernel = new Kernel(KernelContext{*Self(op).api, info, Self(op).elements, Self(op).session_seed});
  });
}

// The kernel is handed to Compute without its op, so it travels with the API that made it.
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
    op.KernelDestroy = [](void* kernel) { delete static_cast<Kernel*>(kernel); };
    op.KernelComputeV2 = [](void* kernel, OrtKernelContext* context) -> OrtStatusPtr {
      Kernel& self = *static_cast<Kernel*>(kernel);
      return Guard(self.api(), [&] { self.Compute(context); });
    };
  }
};

template <class Kernel>
CustomOp MakeCustomOp(const OrtApi* api, int runtime, const Elements& elements,
                      std::optional<int64_t> session_seed) {
  CustomOp op{};
  op.version = static_cast<uint32_t>(std::min(runtime, kNewestApi));
  op.api = api;
  op.elements = elements;
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

}  // namespace ort_rrelu
