// The lanes of a warp, of which 1, 2 or 4 share a block of the random stream: a block has 8 elements, a lane
// loads 16 bytes. A kernel says what a lane does, and where lanes exchange; who does it differs. On the
// device a thread is one lane (OwnLane). On the host one call plays all lanes that share (AllLanes), so that
// tests/cpp/cuda_grid.cc runs a kernel's whole arithmetic without a GPU.
#pragma once

#include "slope.h"

namespace ort_rrelu {

inline constexpr int kWarp = 32;

// Each lane has a row with a part for each of the lanes that share, itself included.
template <int kShare, int kWords>
struct Parts {
  uint32_t part[kShare][kWords];
};

// Words of row `which`, by selection: indexing by a variable would move the rows out of registers.
template <int kShare, int kWords>
ORT_RRELU_HD uint32_t Chosen(const Parts<kShare, kWords>& parts, int which, int word) {
  uint32_t chosen = parts.part[0][word];
  for (int j = 1; j < kShare; ++j) chosen = j == which ? parts.part[j][word] : chosen;
  return chosen;
}

template <int kShare, int kWords>
ORT_RRELU_HD void Replace(Parts<kShare, kWords>& parts, int which, int word, uint32_t value) {
  for (int j = 0; j < kShare; ++j) parts.part[j][word] = j == which ? value : parts.part[j][word];
}

#if defined(__CUDACC__)

template <int kShare>
class OwnLane {
 public:
  template <class V>
  struct Each {
    V value;
    __device__ __forceinline__ V& operator[](int) { return value; }
  };

  explicit __device__ __forceinline__ OwnLane(int lane) : lane_(lane) {}

  template <class F>
  __device__ __forceinline__ void ForEach(const F& f) const {
    f(lane_);
  }

  // Part j of lane q becomes part q of lane j. All lanes of the warp call it together.
  template <int kWords>
  __device__ __forceinline__ void Transpose(Each<Parts<kShare, kWords>>& rows) const {
#pragma unroll
    for (int distance = 1; distance < kShare; ++distance) {
      const int partner = (lane_ % kShare) ^ distance;
#pragma unroll
      for (int word = 0; word < kWords; ++word) {
        const uint32_t given = Chosen(rows.value, partner, word);
        Replace(rows.value, partner, word, __shfl_xor_sync(0xFFFFFFFFu, given, distance));
      }
    }
  }

 private:
  const int lane_;
};

#else

template <int kShare>
class AllLanes {
 public:
  template <class V>
  class Each {
   public:
    V& operator[](int lane) { return values_[lane % kShare]; }

   private:
    V values_[kShare];
  };

  // The first of the lanes that share.
  explicit AllLanes(int lane) : first_(lane) {}

  template <class F>
  void ForEach(const F& f) const {
    for (int lane = first_; lane < first_ + kShare; ++lane) f(lane);
  }

  // The device's rounds, one lane after another.
  template <int kWords>
  void Transpose(Each<Parts<kShare, kWords>>& rows) const {
    for (int distance = 1; distance < kShare; ++distance) {
      for (int word = 0; word < kWords; ++word) {
        uint32_t given[kShare];
        for (int q = 0; q < kShare; ++q) given[q] = Chosen(rows[q], q ^ distance, word);
        for (int q = 0; q < kShare; ++q) Replace(rows[q], q ^ distance, word, given[q ^ distance]);
      }
    }
  }

 private:
  const int first_;
};

#endif

}  // namespace ort_rrelu
