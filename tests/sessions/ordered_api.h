// ONNX Runtime's C API with the order that its ParallelFor promises told to ThreadSanitizer: ONNX Runtime
// itself is not instrumented, and its threads hand work over without locks, which the sanitizer does not see.
#pragma once

#include <cstddef>

#include "onnxruntime_c_api.h"
#if defined(__SANITIZE_THREAD__)
#include <sanitizer/tsan_interface.h>
#endif

namespace ort_rrelu {

inline constexpr uint32_t kApiVersion = 19;

namespace ordered {

inline void Release(void* place) {
#if defined(__SANITIZE_THREAD__)
  __tsan_release(place);
#else
  (void)place;
#endif
}

inline void Acquire(void* place) {
#if defined(__SANITIZE_THREAD__)
  __tsan_acquire(place);
#else
  (void)place;
#endif
}

// What is handed over before each piece, and what comes back after it: two places that only the sanitizer
// looks at.
struct Work {
  void (*function)(void*, size_t);
  void* data;
  char before, after;
};

inline OrtApi api;
inline decltype(api.KernelContext_ParallelFor) parallel_for;

inline void RunPiece(void* data, size_t index) {
  Work& work = *static_cast<Work*>(data);
  Acquire(&work.before);
  work.function(work.data, index);
  Release(&work.after);
}

inline OrtStatus* ORT_API_CALL ParallelFor(const OrtKernelContext* context, void (*function)(void*, size_t),
                                           size_t total, size_t batches, void* data) noexcept {
  Work work{function, data, 0, 0};
  Release(&work.before);
  OrtStatus* status = parallel_for(context, RunPiece, total, batches, &work);
  Acquire(&work.after);
  return status;
}

inline const OrtApi* ORT_API_CALL GetApi(uint32_t) noexcept { return &api; }
inline OrtApiBase base;

}  // namespace ordered

// Before any thread is started.
inline void Order(const OrtApiBase* of_runtime) {
  ordered::api = *of_runtime->GetApi(kApiVersion);
  ordered::parallel_for = ordered::api.KernelContext_ParallelFor;
  ordered::api.KernelContext_ParallelFor = ordered::ParallelFor;
  ordered::base = {ordered::GetApi, of_runtime->GetVersionString};
}

inline const OrtApiBase* OrderedApi() { return &ordered::base; }

}  // namespace ort_rrelu
