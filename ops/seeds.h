// Where a node's seed comes from when its own attribute does not say.
#pragma once

#include <cstdint>
#include <string_view>

#include "philox.h"

namespace ort_rrelu {

// 63 bits of Philox. The last counter word ("SEED" in ASCII, low byte first) keeps derived seeds apart
// from slopes drawn with the same key.
inline int64_t DeriveSeed(uint64_t base, uint64_t index) {
  const Words4 counter = {{static_cast<uint32_t>(index), static_cast<uint32_t>(index >> 32), 0, 0x44454553u}};
  const Words4 words = Philox4x32(counter, MakeKey(base));
  const uint64_t seed = words.word[0] | (static_cast<uint64_t>(words.word[1]) << 32);
  return static_cast<int64_t>(seed & 0x7FFFFFFFFFFFFFFFu);
}

// FNV-1a, 64 bits: numbers a node by the name of its first output, which is unique in a graph (though not in
// all bodies of its control flow).
inline uint64_t Fnv1a(std::string_view text) {
  uint64_t hash = 0xCBF29CE484222325u;
  for (const char c : text) {
    hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001B3u;
  }
  return hash;
}

// 64 bits from the operating system. Throws std::runtime_error when it has none to give.
uint64_t SystemEntropy();

// Such bits that a process keeps. A forked child draws its own: whatever was drawn before the fork is the
// same in all children. Throws as SystemEntropy does.
uint64_t ProcessEntropy();

}  // namespace ort_rrelu
