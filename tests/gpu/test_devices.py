"""A process that uses the second GPU alone makes no context on the first; it is a process of its own."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.gpu import device

pytestmark = [*device.needs_gpu(), pytest.mark.gpus(2)]

# The driver's own functions, as the runtime makes a context where it is asked for memory.
_PROGRAM = """
import ctypes
from ort_rrelu import library

driver = ctypes.CDLL("libcuda.so.1")
context, x, y = ctypes.c_void_p(), ctypes.c_uint64(), ctypes.c_uint64()
assert driver.cuInit(0) == 0
assert driver.cuDevicePrimaryCtxRetain(ctypes.byref(context), 1) == 0
assert driver.cuCtxPushCurrent_v2(context) == 0
for array in (x, y):
    assert driver.cuMemAlloc_v2(ctypes.byref(array), ctypes.c_size_t(64)) == 0
assert driver.cuMemsetD8_v2(x, 0, ctypes.c_size_t(64)) == 0
assert driver.cuCtxPopCurrent_v2(ctypes.byref(context)) == 0
library.cuda_forward(library.Params(1, training=True), library.CudaCall(), x.value, y.value, None, 0, 16)
flags, active = ctypes.c_uint(), ctypes.c_int()
for number in range(2):
    assert driver.cuDevicePrimaryCtxGetState(number, ctypes.byref(flags), ctypes.byref(active)) == 0
    print(active.value)
"""


def test_the_first_device_gets_no_context() -> None:
    assert subprocess.check_output([sys.executable, "-c", _PROGRAM], text=True).split() == ["0", "1"]
