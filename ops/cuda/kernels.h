// The device kernels. Arguments have been checked; every function returns what went wrong, or "". In a
// library that was built without CUDA (absent.cc) each of them says so.
#pragma once

#include <cstdint>
#include <string>

#include "rrelu.h"

namespace ort_rrelu::cuda {

// Where a run draws from, all in device memory. A counter gives its value to the run and moves on by one.
struct Source {
  const uint64_t* seed = nullptr;  // null: params.seed
  const uint64_t* step = nullptr;  // null: params.step
  uint64_t* counter = nullptr;     // goes before step
  uint64_t* taken = nullptr;       // with a counter: where the run's step is kept while it lasts
};

struct Elements {
  uint64_t size, begin, end;
};

struct Forward {
  ort_rrelu_params params;
  const void* x;
  void* y;
  void* noise;    // may be null
  void* reserve;  // may be null
  Elements elements;
};

struct Backward {
  int32_t dtype;
  const void* dy;
  const void* noise;
  void* dx;
  Elements elements;
};

struct ReserveBackward {
  int32_t dtype;
  const void* dy;
  const void* reserve;
  void* dx;
  Elements elements;
  ort_rrelu_fault* fault;  // as the device sees it; may be null
};

std::string Launch(const Forward& task, const Source& source, void* stream);
std::string Launch(const Backward& task, void* stream);
std::string Launch(const ReserveBackward& task, void* stream);

}  // namespace ort_rrelu::cuda
