/* The C API of the operator: one forward and one backward call on raw pointers.
 *
 * It knows nothing of ONNX Runtime. NumPy and torch call it through ctypes, the ONNX Runtime adaptor calls
 * it from C++, so that all of them execute the same code. Semantics: ops/README.md.
 */
#ifndef ORT_RRELU_RRELU_H_
#define ORT_RRELU_RRELU_H_

#include <stddef.h>
#include <stdint.h>

#if defined(_WIN32)
#if defined(ORT_RRELU_BUILDING)
#define ORT_RRELU_EXPORT __declspec(dllexport)
#else
#define ORT_RRELU_EXPORT __declspec(dllimport)
#endif
#else
#define ORT_RRELU_EXPORT __attribute__((visibility("default")))
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* Raised with every incompatible change; a caller compares it with ort_rrelu_abi() before its first call. */
#define ORT_RRELU_ABI 1

/* Element types, numbered as in ONNX's TensorProto.DataType. */
#define ORT_RRELU_FLOAT 1
#define ORT_RRELU_FLOAT16 10
#define ORT_RRELU_DOUBLE 11
#define ORT_RRELU_BFLOAT16 16

typedef struct ort_rrelu_params {
  uint32_t struct_size; /* sizeof(ort_rrelu_params), or what it was before `steps` was there: 40 */
  int32_t dtype;        /* ORT_RRELU_FLOAT, ... */
  float lower;
  float upper;
  int32_t training;
  int32_t num_threads; /* 0: as many as the machine has; never changes a result */
  uint64_t seed;
  uint64_t step;     /* of one draw of all of X, which `rows` of 0 means */
  const void* steps; /* int64_t[rows], at any address; on CUDA of device memory, read when the work runs */
  uint64_t rows; /* rows of X, which divide its size: each is drawn as a tensor alone, at a step of its own */
} ort_rrelu_params;

ORT_RRELU_EXPORT int32_t ort_rrelu_abi(void);

/* JSON: version, compiler, instruction set in use, ONNX Runtime header version, kernels. */
ORT_RRELU_EXPORT const char* ort_rrelu_build_info(void);

/* The functions below return 0, or 1 after writing why into `message` (at most `capacity` bytes, with the
 * final NUL). Nothing is computed then. A null array of a range that is not empty is refused, and so is one
 * whose last byte no address reaches. Where memory runs out they return 2, and say so. */

/* Are dtype, training and the bounds within the operator's rules? */
ORT_RRELU_EXPORT int ort_rrelu_check(const ort_rrelu_params* params, char* message, size_t capacity);

/* Bytes of the `reserve` of a tensor of `size` elements, with one step. */
ORT_RRELU_EXPORT uint64_t ort_rrelu_reserve_bytes(uint64_t size);

/* The same with a step for each of `rows` rows; 0 and 1 rows have one step. 2^64 - 1 where there are too
 * many. */
ORT_RRELU_EXPORT uint64_t ort_rrelu_reserve_bytes_of_rows(uint64_t size, uint64_t rows);

/* y[i] = x[i] * noise[i] for begin <= i < end, of a tensor of `size` elements; the pointers are those of
 * element 0, `begin` is a multiple of 8, `end` is one too or is `size`. `noise` and `reserve` may be null,
 * `y` may be `x`; any other overlap is refused. `reserve` has ort_rrelu_reserve_bytes_of_rows(size, rows)
 * bytes: its header and steps are written by the call whose range begins at 0, its bits by the calls that
 * their elements belong to. */
ORT_RRELU_EXPORT int ort_rrelu_forward(const ort_rrelu_params* params, const void* x, void* y, void* noise,
                                       void* reserve, uint64_t size, uint64_t begin, uint64_t end,
                                       char* message, size_t capacity);

/* dx[i] = dy[i] * noise[i] for begin <= i < end. `dx` may be `dy` or `noise`; partial overlap is refused.
 * Of params, dtype and num_threads count. */
ORT_RRELU_EXPORT int ort_rrelu_backward(const ort_rrelu_params* params, const void* dy, const void* noise,
                                        void* dx, uint64_t begin, uint64_t end, char* message,
                                        size_t capacity);

/* The same from a finished `reserve`, of `reserve_bytes` bytes, instead of noise: after a train-mode forward
 * the bits of dx are the same. `size` is the number of elements of dy; `dx` may be `dy`. Of params, dtype
 * and num_threads count: the reserve knows the rest, and one that is not of such a tensor is refused. */
ORT_RRELU_EXPORT int ort_rrelu_backward_reserve(const ort_rrelu_params* params, const void* dy,
                                                const void* reserve, uint64_t reserve_bytes, void* dx,
                                                uint64_t size, uint64_t begin, uint64_t end, char* message,
                                                size_t capacity);

/* The same on CUDA: addresses of device memory, and work that is queued on a stream. The first array says on
 * which device. An address that CUDA does not know is an error. They are in every build, and return 2 after
 * writing why where the machine is at fault and not an argument: a library that was built without CUDA
 * kernels, a driver that is too old for them, what CUDA itself reports. */

/* What the device found wrong with a reserve, for a call that has returned. Host memory that the device can
 * write to (cudaHostAlloc with cudaHostAllocMapped), all zeros at first. */
typedef struct ort_rrelu_fault {
  uint32_t raised;
  int32_t dtype;
  uint64_t size;
  uint8_t header[64];
} ort_rrelu_fault;

typedef struct ort_rrelu_cuda {
  uint32_t struct_size;   /* sizeof(ort_rrelu_cuda) */
  uint32_t zero;          /* 0 */
  void* stream;           /* cudaStream_t; null: the default stream */
  const uint64_t* seed;   /* device memory, read when the work runs; null: params.seed */
  const uint64_t* step;   /* the same, where params.rows is 0; null: params.step */
  ort_rrelu_fault* fault; /* its address on the device; may be null */
} ort_rrelu_cuda;

ORT_RRELU_EXPORT int ort_rrelu_cuda_forward(const ort_rrelu_params* params, const ort_rrelu_cuda* cuda,
                                            const void* x, void* y, void* noise, void* reserve, uint64_t size,
                                            uint64_t begin, uint64_t end, char* message, size_t capacity);

ORT_RRELU_EXPORT int ort_rrelu_cuda_backward(const ort_rrelu_params* params, const ort_rrelu_cuda* cuda,
                                             const void* dy, const void* noise, void* dx, uint64_t begin,
                                             uint64_t end, char* message, size_t capacity);

/* The host sees whether `reserve_bytes` is right. Where the device finds something else wrong it fills
 * dx[begin..end) with NaN and raises the fault. */
ORT_RRELU_EXPORT int ort_rrelu_cuda_backward_reserve(const ort_rrelu_params* params,
                                                     const ort_rrelu_cuda* cuda, const void* dy,
                                                     const void* reserve, uint64_t reserve_bytes, void* dx,
                                                     uint64_t size, uint64_t begin, uint64_t end,
                                                     char* message, size_t capacity);

/* 1 and what was wrong, once; 0 when nothing was. Of faults that were raised since the last call it is the
 * first. The address on the host. */
ORT_RRELU_EXPORT int ort_rrelu_cuda_fault(ort_rrelu_fault* fault, char* message, size_t capacity);

#ifdef __cplusplus
}
#endif

#endif /* ORT_RRELU_RRELU_H_ */
