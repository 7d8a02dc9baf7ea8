/* An NVIDIA driver, libcuda.so.1, that is for CUDA 11.8 and can do nothing else. */
#include <stdint.h>
#include <string.h>

static int Nothing(void) { return 999; }

int cuInit(unsigned flags) { return (int)flags * 0; }

int cuDriverGetVersion(int* version) {
  *version = 11080;
  return 0;
}

int cuGetProcAddress_v2(const char* name, void** function, int version, uint64_t flags, int* status);

int cuGetProcAddress(const char* name, void** function, int version, uint64_t flags) {
  (void)flags;
  *function = (void*)Nothing;
  if (strcmp(name, "cuInit") == 0) *function = (void*)cuInit;
  if (strcmp(name, "cuDriverGetVersion") == 0) *function = (void*)cuDriverGetVersion;
  if (strcmp(name, "cuGetProcAddress") == 0) {
    *function = version >= 12000 ? (void*)cuGetProcAddress_v2 : (void*)cuGetProcAddress;
  }
  return 0;
}

int cuGetProcAddress_v2(const char* name, void** function, int version, uint64_t flags, int* status) {
  if (status != NULL) *status = 0;
  return cuGetProcAddress(name, function, version, flags);
}

int cuGetExportTable(const void** table, const void* id) {
  (void)table, (void)id;
  return 999;
}
