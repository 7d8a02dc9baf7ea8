// A CUDA runtime that launches nothing: it hands each launch to a function of the caller. The host's half of
// the kernels, which CUDA's compiler links to the runtime, is linked to this instead.
#include <stddef.h>
#include <stdint.h>

struct size3 {
  unsigned x, y, z;
};

typedef void (*on_launch)(const char* kernel, unsigned blocks, unsigned threads, void** arguments);
static on_launch handler;
static int processors = 132;

// What comes in a launch: which kernel it is of, by the address that the host knows it by.
enum { kMost = 256 };
static struct {
  const void* address;
  const char* name;
} kernels[kMost];
static int registered;

void device_has_processors(int count) { processors = count; }
void device_launches_by(on_launch function) { handler = function; }

int cudaLaunchKernel(const void* address, struct size3 grid, struct size3 block, void** arguments,
                     size_t shared_bytes, void* stream) {
  (void)stream;
  if (grid.y != 1 || grid.z != 1 || block.y != 1 || block.z != 1 || shared_bytes != 0) return 1;
  for (int i = 0; i < registered; ++i) {
    if (kernels[i].address == address) {
      handler(kernels[i].name, grid.x, block.x, arguments);
      return 0;
    }
  }
  return 98;  // cudaErrorInvalidDeviceFunction
}

int cudaGetDevice(int* device) {
  *device = 0;
  return 0;
}

int cudaDeviceGetAttribute(int* value, int attribute, int device) {
  (void)device;
  if (attribute != 16) return 1;  // cudaDevAttrMultiProcessorCount
  *value = processors;
  return 0;
}

void __cudaRegisterFunction(void** binary, const void* address, char* device_address, const char* name,
                            int thread_limit, void* tid, void* bid, void* block, void* grid, int* warp_size) {
  (void)binary, (void)device_address, (void)thread_limit, (void)tid, (void)bid, (void)block, (void)grid,
      (void)warp_size;
  if (registered < kMost) kernels[registered++] = (__typeof__(kernels[0])){address, name};
}

void** __cudaRegisterFatBinary(void* binary) {
  (void)binary;
  static void* handle;
  return &handle;
}

// The rest is linked to, and never called.
int cudaFuncGetAttributes(void* attributes, const void* function) {
  (void)attributes, (void)function;
  return 1;
}
void __cudaRegisterFatBinaryEnd(void** binary) { (void)binary; }
void __cudaUnregisterFatBinary(void** binary) { (void)binary; }
char __cudaInitModule(void** binary) {
  (void)binary;
  return 1;
}
int __cudaGetKernel(void* kernel, const void* address) {
  (void)kernel, (void)address;
  return 1;
}
int __cudaLaunchKernel(void* kernel, struct size3 grid, struct size3 block, void** arguments, size_t bytes,
                       void* stream) {
  (void)kernel, (void)grid, (void)block, (void)arguments, (void)bytes, (void)stream;
  return 1;
}
int __cudaPopCallConfiguration(void* grid, void* block, size_t* bytes, void* stream) {
  (void)grid, (void)block, (void)bytes, (void)stream;
  return 1;
}
