// The loops of the device kernels: which elements a thread takes, and what it does to them. Compiled for the
// device and, in tests/cpp/cuda_grid.cc, for the host.
//
// A warp takes tiles of 2 KiB: four 16-byte loads of every lane are in flight, and each of them is contiguous
// over the warp. A load holds a whole block of 16-bit elements, half a block of floats or a quarter of one of
// doubles; each lane draws one block and the lanes that share exchange parts of it, so that one Philox call
// serves eight elements. What is left after the last tile, and arrays that are not aligned to 16 bytes, go
// block by block, a thread each.
#pragma once

#include "call.h"
#include "cuda/lanes.h"
#include "cuda/packed.h"
#include "cuda/piece.h"
#include "element.h"
#include "slope.h"

namespace ort_rrelu {

inline constexpr int kLoads = 4;
template <class T>
inline constexpr int kShare = kBlock / kPiece<T>;  // lanes that share a block
template <class T>
inline constexpr int kTile = kWarp * kLoads * kPiece<T>;  // elements

// Where a warp's loads lie. They are contiguous over its lanes.
template <class T>
ORT_RRELU_HD uint64_t ElementAt(uint64_t tile, int load, int lane) {
  return tile + static_cast<uint64_t>(load * kWarp + lane) * kPiece<T>;
}

// The block that a lane is responsible for in a round, which is as many loads as lanes share: it draws the
// block and has its byte of the reserve.
template <class T>
ORT_RRELU_HD uint64_t BlockOf(uint64_t tile, int round, int lane) {
  return ElementAt<T>(tile, round * kShare<T> + lane % kShare<T>, lane) / kBlock;
}

template <class T>
using WordParts = Parts<kShare<T>, 4 / kShare<T>>;  // of a random block
template <class T>
using BitParts = Parts<kShare<T>, 1>;  // of a byte of the reserve

template <class T>
ORT_RRELU_HD WordParts<T> SplitWords(const Words4& words) {
  constexpr int kWords = 4 / kShare<T>;
  WordParts<T> parts;
  for (int i = 0; i < 4; ++i) parts.part[i / kWords][i % kWords] = words.word[i];
  return parts;
}

template <class T>
ORT_RRELU_HD BitParts<T> SplitByte(uint32_t byte) {
  BitParts<T> parts;
  for (int j = 0; j < kShare<T>; ++j) {
    parts.part[j][0] = (byte >> (j * kPiece<T>)) & ((1u << kPiece<T>)-1);
  }
  return parts;
}

template <class T>
ORT_RRELU_HD uint8_t JoinByte(const BitParts<T>& parts) {
  uint32_t byte = 0;
  for (int j = 0; j < kShare<T>; ++j) byte |= parts.part[j][0] << (j * kPiece<T>);
  return static_cast<uint8_t>(byte);
}

// One load. words: its part of the random block; bits: its part of the reserve's byte, read or written.
template <Mode kMode, class T>
ORT_RRELU_HD void ScalePiece(const Arrays<T>& arrays, const RunConstants<T>& run, uint64_t i,
                             const Piece<T>& x, const uint32_t (&words)[4 / kShare<T>], uint32_t& bits) {
  Words4 random{};
  for (int w = 0; w < 4 / kShare<T>; ++w) random.word[w] = words[w];
#if defined(__CUDA_ARCH__)
  if constexpr (kInPairs<kMode, T>) {
    const ScaledPairs scaled = ScaleInPairs<kMode>(run, x, random, bits);
    StoreWords(scaled.y, arrays.y + i);
    if (IsForward(kMode) && arrays.noise != nullptr) StoreWords(scaled.noise, arrays.noise + i);
    bits = scaled.leaks;
    return;
  }
#endif
  Piece<T> y, noise;
  uint32_t leaks = 0;
  ORT_RRELU_UNROLL
  for (int e = 0; e < kPiece<T>; ++e) {
    const Scaled<T> scaled = Scale<kMode>(run, x.element[e], random, e, (bits >> e) & 1);
    y.element[e] = scaled.y;
    noise.element[e] = scaled.noise;
    leaks |= static_cast<uint32_t>(scaled.leaks) << e;
  }
  StorePiece(y, arrays.y + i);
  if (IsForward(kMode) && arrays.noise != nullptr) StorePiece(noise, arrays.noise + i);
  bits = leaks;
}

template <class T>
struct Pieces {
  Piece<T> load[kLoads];
};

template <class T>
ORT_RRELU_HD Pieces<T> LoadPieces(const T* array, uint64_t tile, int lane) {
  Pieces<T> pieces;
  ORT_RRELU_UNROLL
  for (int load = 0; load < kLoads; ++load) {
    pieces.load[load] = LoadPiece(array + ElementAt<T>(tile, load, lane));
  }
  return pieces;
}

template <Mode kMode, Layout kLayout, class T, class Lanes>
ORT_RRELU_HD void ScaleTile(const Arrays<T>& arrays, const RunConstants<T>& run, uint64_t tile,
                            const Lanes& lanes) {
  typename Lanes::template Each<Pieces<T>> x;
  lanes.ForEach([&](int lane) { x[lane] = LoadPieces(arrays.x, tile, lane); });
  ORT_RRELU_UNROLL
  for (int round = 0; round < kLoads / kShare<T>; ++round) {
    typename Lanes::template Each<WordParts<T>> words;
    typename Lanes::template Each<BitParts<T>> bits;
    lanes.ForEach([&](int lane) {
      const uint64_t block = BlockOf<T>(tile, round, lane);
      words[lane] = SplitWords<T>(DrawsSlopes(kMode) ? WordsOf<kLayout>(run.seed, run.step, run.layout, block)
                                                     : Words4{});
      bits[lane] = SplitByte<T>(ReadsBits(kMode) ? arrays.saved_reserve[block] : 0u);
    });
    if (DrawsSlopes(kMode)) lanes.Transpose(words);
    if (ReadsBits(kMode)) lanes.Transpose(bits);
    lanes.ForEach([&](int lane) {
      ORT_RRELU_UNROLL
      for (int j = 0; j < kShare<T>; ++j) {
        const int load = round * kShare<T> + j;
        ScalePiece<kMode>(arrays, run, ElementAt<T>(tile, load, lane), x[lane].load[load],
                          words[lane].part[j], bits[lane].part[j][0]);
      }
    });
    if (!IsForward(kMode) || arrays.reserve == nullptr) continue;
    lanes.Transpose(bits);
    lanes.ForEach([&](int lane) { arrays.reserve[BlockOf<T>(tile, round, lane)] = JoinByte<T>(bits[lane]); });
  }
}

template <class T, class Lanes>
ORT_RRELU_HD void MultiplyTile(const Arrays<T>& arrays, uint64_t tile, const Lanes& lanes) {
  lanes.ForEach([&](int lane) {
    Pieces<T> x = LoadPieces(arrays.x, tile, lane);
    const Pieces<T> noise = LoadPieces(arrays.saved_noise, tile, lane);
    ORT_RRELU_UNROLL
    for (int load = 0; load < kLoads; ++load) {
      Piece<T>& piece = x.load[load];
      ORT_RRELU_UNROLL
      for (int e = 0; e < kPiece<T>; ++e) {
        piece.element[e] = Product(piece.element[e], noise.load[load].element[e]);
      }
      StorePiece(piece, arrays.y + ElementAt<T>(tile, load, lane));
    }
  });
}

// The elements of a block that lie before `end`.
template <Mode kMode, Layout kLayout, class T>
ORT_RRELU_HD void RunBlock(const Arrays<T>& arrays, const RunConstants<T>& run, uint64_t block,
                           uint64_t end) {
  const uint64_t first = block * kBlock;
  const int size = end - first < kBlock ? static_cast<int>(end - first) : kBlock;
  const Words4 words =
      DrawsSlopes(kMode) ? WordsOf<kLayout>(run.seed, run.step, run.layout, block) : Words4{};
  const uint32_t saved_bits = ReadsBits(kMode) ? arrays.saved_reserve[block] : 0u;
  uint32_t bits = 0;
  for (int j = 0; j < size; ++j) {
    const uint64_t i = first + j;
    if constexpr (kMode == Mode::kMultiply) {
      arrays.y[i] = Product(arrays.x[i], arrays.saved_noise[i]);
    } else {
      const Scaled<T> scaled = Scale<kMode>(run, arrays.x[i], words, j, (saved_bits >> j) & 1);
      arrays.y[i] = scaled.y;
      if (IsForward(kMode) && arrays.noise != nullptr) arrays.noise[i] = scaled.noise;
      bits |= static_cast<uint32_t>(scaled.leaks) << j;
    }
  }
  if (IsForward(kMode) && arrays.reserve != nullptr) arrays.reserve[block] = static_cast<uint8_t>(bits);
}

// A thread's place in the grid; `count` is a multiple of a warp.
struct Thread {
  uint64_t index, count;
};

// Elements [begin, end), of which `tiles` tiles from `begin` on are taken whole.
struct Work {
  uint64_t begin, end, tiles;
};

template <class T>
bool IsAligned(const T* array) {
  return reinterpret_cast<uintptr_t>(array) % sizeof(Load16) == 0;
}

template <class T>
Work MakeWork(const Arrays<T>& arrays, Range range) {
  const auto [begin, end] = range;
  const bool aligned =
      IsAligned(arrays.x) && IsAligned(arrays.y) && IsAligned(arrays.noise) && IsAligned(arrays.saved_noise);
  return {begin, end, aligned ? (end - begin) / kTile<T> : 0};
}

template <class T>
ORT_RRELU_HD uint64_t FirstBlockAfterTiles(const Work& work) {
  return (work.begin + work.tiles * kTile<T>) / kBlock;
}

ORT_RRELU_HD uint64_t LastBlock(const Work& work) { return (work.end + kBlock - 1) / kBlock; }

// Threads that have something to do.
template <class T>
uint64_t BusyThreads(const Work& work) {
  const uint64_t in_tiles = work.tiles * kWarp;
  const uint64_t in_blocks = LastBlock(work) - FirstBlockAfterTiles<T>(work);
  return in_tiles > in_blocks ? in_tiles : in_blocks;
}

template <Mode kMode, class Lanes, Layout kLayout = Layout::kOneStep, class T>
ORT_RRELU_HD void RunTiles(const Arrays<T>& arrays, const RunConstants<T>& run, const Work& work,
                           const Thread& thread) {
  const Lanes lanes(static_cast<int>(thread.index % kWarp));
  for (uint64_t i = thread.index / kWarp; i < work.tiles; i += thread.count / kWarp) {
    const uint64_t tile = work.begin + i * kTile<T>;
    if constexpr (kMode == Mode::kMultiply) {
      MultiplyTile(arrays, tile, lanes);
    } else {
      ScaleTile<kMode, kLayout>(arrays, run, tile, lanes);
    }
  }
}

template <Mode kMode, Layout kLayout = Layout::kOneStep, class T>
ORT_RRELU_HD void RunBlocks(const Arrays<T>& arrays, const RunConstants<T>& run, const Work& work,
                            const Thread& thread) {
  const uint64_t last = LastBlock(work);
  for (uint64_t i = FirstBlockAfterTiles<T>(work) + thread.index; i < last; i += thread.count) {
    RunBlock<kMode, kLayout>(arrays, run, i, work.end);
  }
}

}  // namespace ort_rrelu
