"""How fast zig's library for x86_64 is beside gcc's: calls in turn, the shortest of each.

python -m wheels.speed LIBRARY OTHER_LIBRARY prints the ratio of their times.
"""

from __future__ import annotations

import ctypes
import struct
import sys
import time
from collections.abc import Callable

import numpy as np

_ELEMENTS = 1_000_000
_CALLS = 1000
_FLOAT, _TRAINING, _THREADS = 1, 1, 1
_PARAMS = struct.Struct("@IiffiiQQPQ")  # ort_rrelu_params of ops/rrelu.h


def _forward(path: str, x: int, y: int) -> Callable[[], float]:
    """A call of the train-mode forward that returns its seconds."""
    function = ctypes.CDLL(path).ort_rrelu_forward
    params = _PARAMS.pack(_PARAMS.size, _FLOAT, 0.125, 0.25, _TRAINING, _THREADS, 7, 0, 0, 0)
    sizes = (ctypes.c_uint64(_ELEMENTS), ctypes.c_uint64(0), ctypes.c_uint64(_ELEMENTS))
    message = ctypes.create_string_buffer(512)
    pointers = (ctypes.c_void_p(x), ctypes.c_void_p(y), None, None)

    def call() -> float:
        begin = time.perf_counter()
        code = function(params, *pointers, *sizes, message, ctypes.c_size_t(512))
        seconds = time.perf_counter() - begin
        if code:
            raise ValueError(f"{path}: {message.value.decode()}")
        return seconds

    return call


def ratio(library: str, other: str) -> float:
    """The time of `library` by that of `other`."""
    x = np.random.default_rng(3).normal(size=_ELEMENTS).astype(np.float32)
    y = np.empty_like(x)
    calls = [_forward(path, x.ctypes.data, y.ctypes.data) for path in (library, other)]
    times = [[call() for call in calls] for _ in range(_CALLS)]
    shortest, of_other = (min(of_one) for of_one in zip(*times, strict=True))
    return float(shortest / of_other)


if __name__ == "__main__":
    print(f"{ratio(*sys.argv[1:]):.3f}")
