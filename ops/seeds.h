// Where a node's seed comes from when its own attribute does not say.
#pragma once

#include <cstdint>
#include <string_view>

namespace ort_rrelu {

// 63 bits of Philox.
int64_t DeriveSeed(uint64_t base, uint64_t index);

// FNV-1a, 64 bits: numbers a node by the name of its first output, which is unique in a graph (though not in
// all bodies of its control flow).
uint64_t Fnv1a(std::string_view text);

// 64 bits from the operating system. Throws std::runtime_error when it has none to give.
uint64_t SystemEntropy();

// Such bits that a process keeps. A forked child draws its own: whatever was drawn before the fork is the
// same in all children. Throws as SystemEntropy does.
uint64_t ProcessEntropy();

}  // namespace ort_rrelu
