/* A Linux that has no system call for entropy, and no file for it either where NO_ENTROPY is set. For
 * LD_PRELOAD. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>

long syscall(long number, ...) {
  if (number == SYS_getrandom) {
    errno = ENOSYS;
    return -1;
  }
  va_list list;
  va_start(list, number);
  long values[6];
  for (int i = 0; i < 6; ++i) values[i] = va_arg(list, long);
  va_end(list);
  long (*next)(long, ...) = (long (*)(long, ...))dlsym(RTLD_NEXT, "syscall");
  return next(number, values[0], values[1], values[2], values[3], values[4], values[5]);
}

static int IsHidden(const char* path) {
  return strcmp(path, "/dev/urandom") == 0 && getenv("NO_ENTROPY") != NULL;
}

int open(const char* path, int flags, ...) {
  if (IsHidden(path)) {
    errno = ENOENT;
    return -1;
  }
  va_list list;
  va_start(list, flags);
  const int mode = va_arg(list, int);
  va_end(list);
  int (*next)(const char*, int, ...) = (int (*)(const char*, int, ...))dlsym(RTLD_NEXT, "open");
  return next(path, flags, mode);
}

/* What open() without a mode becomes in clang's fortified code. */
int __open_2(const char* path, int flags) { return open(path, flags, 0); }
