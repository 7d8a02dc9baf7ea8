"""The 16-bit words that slopes are made of, as the library's kernels draw them."""

from __future__ import annotations

import numpy as np

import ort_rrelu
from tests.onnx_models import Array

CELLS = 2**16


def halves(size: int, *, seed: int, step: int | Array = 0) -> Array:
    """uint16 (size,), or (rows, size of a row) for an array of steps.

    With these bounds the slope of word h is (h + 0.5) / 65,536, which float holds exactly.
    """
    shape = (size,) if np.ndim(step) == 0 else (np.size(step), size)
    x = np.full(shape, -1, np.float32)
    y = ort_rrelu.rrelu(x, 0.0, 1.0, training=True, seed=seed, step=step, out=x)
    y *= -CELLS
    return y.astype(np.uint16)
