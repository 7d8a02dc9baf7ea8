#if defined(_WIN32)
#define _CRT_RAND_S  // before any header: one of them brings stdlib.h in
#endif

#include <stdexcept>

#include "seeds.h"

#if defined(_WIN32)
#include <stdlib.h>
#elif defined(__APPLE__)
#include <sys/random.h>
#else
#include <unistd.h>
#endif

namespace ort_rrelu {

uint64_t SystemEntropy() {
#if defined(_WIN32)
  unsigned int low = 0;
  unsigned int high = 0;
  const bool ok = rand_s(&low) == 0 && rand_s(&high) == 0;
  const uint64_t value = low | (static_cast<uint64_t>(high) << 32);
#else
  uint64_t value = 0;
  const bool ok = getentropy(&value, sizeof value) == 0;
#endif
  if (!ok) throw std::runtime_error("the operating system gave no entropy for a seed");
  return value;
}

}  // namespace ort_rrelu
