// Subnormals count whatever the caller's mode: FTZ and DAZ would make 1e-40 compare as <= 0 and change
// which elements take a slope. ONNX Runtime's session.set_denormal_as_zero and torch.set_flush_denormal stay
// set in the threads that run us.
#pragma once

#include <cstdint>

#if defined(__x86_64__) || defined(_M_X64) || defined(__i386__)
#include <immintrin.h>
#define ORT_RRELU_HAS_MXCSR 1
#elif defined(__aarch64__) && !defined(_MSC_VER)
#define ORT_RRELU_HAS_FPCR 1
#endif

namespace ort_rrelu {

class HonourDenormals {
 public:
  HonourDenormals() : saved_(Read()) {
    if (saved_ & kFlushBits) Write(saved_ & ~kFlushBits);
  }
  ~HonourDenormals() {
    if (saved_ & kFlushBits) Write(saved_);
  }
  HonourDenormals(const HonourDenormals&) = delete;
  HonourDenormals& operator=(const HonourDenormals&) = delete;

 private:
#if defined(ORT_RRELU_HAS_MXCSR)
  static constexpr uint64_t kFlushBits = 0x8040;  // FTZ, DAZ
  static uint64_t Read() { return _mm_getcsr(); }
  static void Write(uint64_t mode) { _mm_setcsr(static_cast<uint32_t>(mode)); }
#elif defined(ORT_RRELU_HAS_FPCR)
  static constexpr uint64_t kFlushBits = (1u << 24) | (1u << 19);  // FZ, FZ16
  static uint64_t Read() {
    uint64_t mode;
    __asm__ __volatile__("mrs %0, fpcr" : "=r"(mode));
    return mode;
  }
  static void Write(uint64_t mode) { __asm__ __volatile__("msr fpcr, %0" : : "r"(mode)); }
#else
  static constexpr uint64_t kFlushBits = 0;
  static uint64_t Read() { return 0; }
  static void Write(uint64_t) {}
#endif

  const uint64_t saved_;
};

}  // namespace ort_rrelu
