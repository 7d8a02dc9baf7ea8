// To which device and context an address belongs, and making that context the thread's. All by the driver:
// the runtime would make a context on the thread's own device, only to answer or to come back to it.
#pragma once

struct CUctx_st;

namespace ort_rrelu::cuda {

struct Owner {
  bool on_device = false;       // device or managed memory
  int device = -1;              // below 0: CUDA does not know the address
  CUctx_st* context = nullptr;  // null: of the whole device, as a pool's memory is
};

Owner OwnerOf(const void* address);

// Makes the owner's context the thread's while it lives, where the thread is not on its device already.
class InContext {
 public:
  explicit InContext(const Owner& owner);
  ~InContext();
  InContext(const InContext&) = delete;
  InContext& operator=(const InContext&) = delete;

 private:
  bool pushed_ = false;
  int retained_ = -1;  // the device whose primary context is kept alive
};

// What CUDA does not allow while another thread captures a stream, such as taking memory, is allowed to this
// thread while it lives: none of it goes to a stream that may be captured.
class WhileCapturing {
 public:
  WhileCapturing();
  ~WhileCapturing();
  WhileCapturing(const WhileCapturing&) = delete;
  WhileCapturing& operator=(const WhileCapturing&) = delete;

 private:
  int mode_;
};

}  // namespace ort_rrelu::cuda
