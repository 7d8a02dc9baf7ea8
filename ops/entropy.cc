#if defined(_WIN32)
#define _CRT_RAND_S  // before any header: one of them brings stdlib.h in
#endif

#include <atomic>
#include <stdexcept>

#include "seeds.h"

#if defined(_WIN32)
#include <stdlib.h>
#elif defined(__APPLE__)
#include <sys/random.h>
#include <unistd.h>
#else
#include <pthread.h>
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

}  // namespace

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

uint64_t ProcessEntropy() {
  ForgetThatOfAParent();
  uint64_t kept = process_entropy.load(std::memory_order_relaxed);
  if (kept != 0) return kept;
  const uint64_t fresh = SystemEntropy() | 1;
  return process_entropy.compare_exchange_strong(kept, fresh) ? fresh : kept;
}

}  // namespace ort_rrelu
