#include "ort/cuda_kernels.h"

#include <stdexcept>

#include "cuda/device.h"
#include "cuda/kernels.h"
#include "ort/node.h"
#include "ort/node_inputs.h"
#include "reserve.h"

namespace ort_rrelu {
namespace {

cuda::Elements AllOf(const Tensor& tensor) { return {tensor.size, 0, tensor.size}; }

}  // namespace

CudaKernel::CudaKernel(const KernelContext& context, const char* op)
    : api_(context.api), label_(Node(context.api, context.info, op).Label()) {
  Check(cuda::CheckDriver());
}

void* CudaKernel::Stream(OrtKernelContext* context) const {
  void* stream = nullptr;
  ort_rrelu::Check(api_.KernelContext_GetGPUComputeStream(context, &stream));
  return stream;
}

void CudaKernel::Check(const std::string& error) const {
  if (!error.empty()) throw std::runtime_error(label_ + ": " + error);
}

CudaRReluKernel::CudaRReluKernel(const KernelContext& context)
    : CudaKernel(context, Op::kName), params_(ReadParams(context).params) {}

cuda::Source CudaRReluKernel::SourceOf(const Tensors& tensors, void* stream) {
  cuda::Source source;
  source.step = static_cast<const uint64_t*>(StepInput(tensors, label_));
  if (source.step == nullptr && params_.training) Check(runs_.Next(stream, &source));
  return source;
}

void CudaRReluKernel::Compute(OrtKernelContext* context) {
  const Tensors tensors(api_, context);
  const Tensor x = tensors.Input(0);
  void* stream = Stream(context);
  cuda::Forward task{params_, x.data, nullptr, nullptr, nullptr, AllOf(x)};
  const cuda::Source source = SourceOf(tensors, stream);
  task.y = tensors.Output(0, x.shape);
  task.noise = tensors.Output(1, x.shape);
  task.reserve = tensors.Output(2, {static_cast<int64_t>(ReserveBytes(x.size))});
  Check(cuda::Launch(task, source, stream));
}

CudaNoiseGradKernel::CudaNoiseGradKernel(const KernelContext& context)
    : CudaKernel(context, Op::kName), dtype_(context.elements[schema::kT]) {}

void CudaNoiseGradKernel::Compute(OrtKernelContext* context) {
  const Tensors tensors(api_, context);
  const Tensor dy = tensors.Input(0);
  const Tensor noise = tensors.Input(1);
  CheckNoiseShape(dy, noise, label_);
  void* dx = tensors.Output(0, dy.shape);
  Check(cuda::Launch(cuda::Backward{dtype_, dy.data, noise.data, dx, AllOf(dy)}, Stream(context)));
}

CudaReserveGradKernel::CudaReserveGradKernel(const KernelContext& context)
    : CudaKernel(context, Op::kName), dtype_(context.elements[schema::kT]) {
  Check(fault_.Allocate());
}

void CudaReserveGradKernel::Compute(OrtKernelContext* context) {
  const Tensors tensors(api_, context);
  const Tensor dy = tensors.Input(0);
  const Tensor reserve = tensors.Input(1);
  CheckReserveShape(reserve, label_);
  if (const std::string earlier = fault_.Take(); !earlier.empty()) {
    throw InvalidArgument{label_ + ": in an earlier run, whose dX is NaN, " + earlier};
  }
  const std::string error = CheckReserveBytes(reserve.size, dy.size);
  if (!error.empty()) throw InvalidArgument{label_ + ": " + error};
  void* dx = tensors.Output(0, dy.shape);
  Check(cuda::Launch(cuda::ReserveBackward{dtype_, dy.data, reserve.data, dx, AllOf(dy), fault_.on_device()},
                     Stream(context)));
}

}  // namespace ort_rrelu
