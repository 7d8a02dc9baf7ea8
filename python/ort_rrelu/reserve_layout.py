"""The layout of `reserve`: this header, then bit i % 8 of byte i / 8 = (x[i] <= 0).

ops/reserve.h is the same for the kernels.
"""

from __future__ import annotations

import numpy as np

__all__ = ["HEADER", "MAGIC", "VERSION", "byte_count"]

HEADER = np.dtype(
    [
        ("magic", "<u4"),
        ("version", "<u4"),
        ("dtype", "<u4"),  # ONNX's number
        ("training", "<u4"),
        ("lower", "<f4"),
        ("upper", "<f4"),
        ("seed", "<u8"),
        ("step", "<u8"),
        ("size", "<u8"),  # elements
        ("zeros", "<u8", (2,)),
    ]
)
MAGIC = int.from_bytes(b"rrel", "little")
VERSION = 1


def byte_count(size: int) -> int:
    """Bytes of the reserve of a tensor of `size` elements."""
    return HEADER.itemsize + -(-size // 8)
