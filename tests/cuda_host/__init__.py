"""What the host does on CUDA, without a GPU: the library on a runtime that only keeps books. Needs nvcc."""
