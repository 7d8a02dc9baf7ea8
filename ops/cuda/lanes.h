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

// Rows transpose in rounds. In each, lanes that are `distance` apart exchange one half of their parts: of
// parts j and j + distance the lower of the two lanes gives the second, the upper one the first. Values are
// selected: an index that differs between lanes would move the parts out of registers.
template <int kShare, int kWords>
ORT_RRELU_HD uint32_t Given(const Parts<kShare, kWords>& parts, int j, int distance, int word,
                            bool is_upper) {
  const uint32_t first = parts.part[j][word], second = parts.part[j + distance][word];
  return is_upper ? first : second;
}

template <int kShare, int kWords>
ORT_RRELU_HD void Take(Parts<kShare, kWords>& parts, int j, int distance, int word, bool is_upper,
                       uint32_t taken) {
  const uint32_t first = parts.part[j][word], second = parts.part[j + distance][word];
  parts.part[j][word] = is_upper ? taken : first;
  parts.part[j + distance][word] = is_upper ? second : taken;
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
    for (int distance = kShare / 2; distance > 0; distance /= 2) {
      const bool is_upper = lane_ & distance;
#pragma unroll
      for (int j = 0; j < kShare; ++j) {
        if (j & distance) continue;
#pragma unroll
        for (int word = 0; word < kWords; ++word) {
          const uint32_t given = Given(rows.value, j, distance, word, is_upper);
          const uint32_t taken = __shfl_xor_sync(0xFFFFFFFFu, given, distance);
          Take(rows.value, j, distance, word, is_upper, taken);
        }
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
    for (int distance = kShare / 2; distance > 0; distance /= 2) {
      for (int j = 0; j < kShare; ++j) {
        for (int word = 0; word < kWords && !(j & distance); ++word) {
          uint32_t given[kShare];
          for (int q = 0; q < kShare; ++q) given[q] = Given(rows[q], j, distance, word, q & distance);
          for (int q = 0; q < kShare; ++q)
            Take(rows[q], j, distance, word, q & distance, given[q ^ distance]);
        }
      }
    }
  }

 private:
  const int first_;
};

#endif

}  // namespace ort_rrelu
