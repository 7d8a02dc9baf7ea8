// Philox4x32-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3").
// One definition for host and device. Known answers: tests/known_answers.txt.
#pragma once

#include <cstdint>

#if defined(__CUDACC__)
#define ORT_RRELU_HD __host__ __device__ __forceinline__
#else
#define ORT_RRELU_HD inline
#endif

namespace ort_rrelu {

struct Words4 {
  uint32_t word[4];
};

struct PhiloxKey {
  uint32_t word[2];
};

ORT_RRELU_HD PhiloxKey MakeKey(uint64_t key) {
  return {{static_cast<uint32_t>(key), static_cast<uint32_t>(key >> 32)}};
}

inline constexpr int kPhiloxRounds = 10;
inline constexpr uint32_t kPhiloxMultiplier[2] = {0xD2511F53u, 0xCD9E8D57u};
inline constexpr uint32_t kPhiloxWeyl[2] = {0x9E3779B9u, 0xBB67AE85u};

ORT_RRELU_HD Words4 Philox4x32(Words4 counter, PhiloxKey key) {
  // Values: device code has no address of a host's array.
  constexpr uint32_t weyl0 = kPhiloxWeyl[0], weyl1 = kPhiloxWeyl[1];
  for (int round = 0; round < kPhiloxRounds; ++round) {
    const uint64_t p0 = static_cast<uint64_t>(counter.word[0]) * kPhiloxMultiplier[0];
    const uint64_t p1 = static_cast<uint64_t>(counter.word[2]) * kPhiloxMultiplier[1];
    counter = {{static_cast<uint32_t>(p1 >> 32) ^ counter.word[1] ^ key.word[0], static_cast<uint32_t>(p1),
                static_cast<uint32_t>(p0 >> 32) ^ counter.word[3] ^ key.word[1], static_cast<uint32_t>(p0)}};
    key.word[0] += weyl0;
    key.word[1] += weyl1;
  }
  return counter;
}

}  // namespace ort_rrelu
