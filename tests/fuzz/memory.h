// The memory that a fuzzed call gets, and beside it what each byte must be afterwards.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <vector>

#include "oracle.h"

namespace fuzz {

// Memory of exactly so many bytes, so that a sanitizer sees the first one past it; and what it must be.
struct Block {
  explicit Block(const std::vector<uint8_t>& bytes)
      : now(static_cast<uint8_t*>(std::malloc(bytes.size() + (bytes.empty() ? 1 : 0)))), expected(bytes) {
    std::copy(bytes.begin(), bytes.end(), now.get());
  }
  struct Free {
    void operator()(uint8_t* bytes) const { std::free(bytes); }
  };
  std::unique_ptr<uint8_t, Free> now;
  std::vector<uint8_t> expected;
};

// The part of a block that a call may touch. `address` is that of element 0, which may lie far before it.
struct Array {
  Block* block = nullptr;
  uint64_t offset = 0, bytes = 0;
  uint64_t back = 0;  // bytes from element 0 to the part
  uint8_t* data() const { return block == nullptr ? nullptr : block->now.get() + offset; }
  uint8_t* image() const { return block == nullptr ? nullptr : block->expected.data() + offset; }
  void* address() const {
    return block == nullptr ? nullptr : reinterpret_cast<void*>(reinterpret_cast<uintptr_t>(data()) - back);
  }
  oracle::Span span() const {
    if (block == nullptr) return {0, 0};
    const auto begin = static_cast<oracle::U128>(reinterpret_cast<uintptr_t>(data()));
    return {begin, begin + bytes};
  }
};

inline bool Same(const Array& a, const Array& b) { return a.address() == b.address(); }

inline bool SameOrApart(const Array& a, const Array& b) {
  return Same(a, b) || !oracle::Overlap(a.span(), b.span());
}
inline bool Apart(const Array& a, const Array& b) { return !oracle::Overlap(a.span(), b.span()); }

}  // namespace fuzz
