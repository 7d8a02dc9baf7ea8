/* What the start files of gcc do for a shared library on Linux, and those of zig do not: when it is unloaded,
 * libc forgets the functions that it registered. Otherwise exit() and fork() would call code that is gone. */
#include <stddef.h>

extern void* __dso_handle __attribute__((visibility("hidden")));
extern void __cxa_finalize(void* library);
extern int __register_atfork(void (*prepare)(void), void (*parent)(void), void (*child)(void), void* library);

__attribute__((destructor)) static void Forget(void) { __cxa_finalize(&__dso_handle); }

/* libc's own is for programs, which are never unloaded. */
__attribute__((visibility("hidden"))) int pthread_atfork(void (*prepare)(void), void (*parent)(void),
                                                         void (*child)(void)) {
  return __register_atfork(prepare, parent, child, &__dso_handle);
}
