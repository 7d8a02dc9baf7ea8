// Seeds that are derived from others, and seeds of entropy.
#if defined(_WIN32)
#define _CRT_RAND_S  // before any header: one of them brings stdlib.h in
#endif

#include "seeds.h"

#include <atomic>
#include <stdexcept>

#include "slope.h"

#if defined(_WIN32)
#include <stdlib.h>
#elif defined(__APPLE__)
#include <sys/random.h>
#include <unistd.h>
#else
#include <fcntl.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace ort_rrelu {
namespace {

std::atomic<uint64_t> process_entropy{0};  // 0: none was drawn in this process

#if defined(_WIN32)
void ForgetThatOfAParent() {}
#elif defined(__APPLE__)
// getpid() is no system call there, and a fork handler would outlive a library that is unloaded.
void ForgetThatOfAParent() {
  static std::atomic<pid_t> owner{0};
  const pid_t process = getpid();
  if (owner.load(std::memory_order_relaxed) == process) return;
  process_entropy.store(0, std::memory_order_relaxed);
  owner.store(process, std::memory_order_relaxed);
}
#else
// A load of an atomic in each run, where getpid() would be a system call. glibc takes the handler out when
// the library is unloaded; musl unloads none.
const int handler_error =
    pthread_atfork(nullptr, nullptr, [] { process_entropy.store(0, std::memory_order_relaxed); });

void ForgetThatOfAParent() {
  if (handler_error != 0) throw std::runtime_error("there was no memory for a handler of fork()");
}
#endif

#if !defined(_WIN32) && !defined(__APPLE__)
// Linux has the system call since 3.17, some of its sandboxes forbid it, and glibc has getentropy()
// since 2.25 alone. 8 bytes come whole or not at all.
bool ReadEntropy(uint64_t* value) {
  constexpr long kBytes = sizeof *value;
  if (syscall(SYS_getrandom, value, sizeof *value, 0) == kBytes) return true;
  const int file = open("/dev/urandom", O_RDONLY | O_CLOEXEC);
  if (file < 0) return false;
  const bool ok = read(file, value, sizeof *value) == kBytes;
  close(file);
  return ok;
}
#endif

}  // namespace

// The last counter word ("SEED" in ASCII, low byte first) keeps derived seeds apart from slopes drawn with
// the same key.
int64_t DeriveSeed(uint64_t base, uint64_t index) {
  const Words4 counter = {{static_cast<uint32_t>(index), static_cast<uint32_t>(index >> 32), 0, 0x44454553u}};
  const Words4 words = Philox4x32(counter, MakeKey(base));
  const uint64_t seed = words.word[0] | (static_cast<uint64_t>(words.word[1]) << 32);
  return static_cast<int64_t>(seed & 0x7FFFFFFFFFFFFFFFu);
}

uint64_t Fnv1a(std::string_view text) {
  uint64_t hash = 0xCBF29CE484222325u;
  for (const char c : text) {
    hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001B3u;
  }
  return hash;
}

uint64_t SystemEntropy() {
#if defined(_WIN32)
  unsigned int low = 0;
  unsigned int high = 0;
  const bool ok = rand_s(&low) == 0 && rand_s(&high) == 0;
  const uint64_t value = low | (static_cast<uint64_t>(high) << 32);
#elif defined(__APPLE__)
  uint64_t value = 0;
  const bool ok = getentropy(&value, sizeof value) == 0;
#else
  uint64_t value = 0;
  const bool ok = ReadEntropy(&value);
#endif
  if (!ok) throw std::runtime_error("the operating system gave no entropy for a seed");
  return value;
}

uint64_t ProcessEntropy() {
  ForgetThatOfAParent();
  uint64_t kept = process_entropy.load(std::memory_order_relaxed);
  if (kept != 0) return kept;
  const uint64_t fresh = SystemEntropy() | 1;
  return process_entropy.compare_exchange_strong(kept, fresh) ? fresh : kept;
}

}  // namespace ort_rrelu
