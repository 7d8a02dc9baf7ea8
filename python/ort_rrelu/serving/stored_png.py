"""A PNG that is only stored, not compressed: written for a decoder that reads it at once.

Pillow's own writer tries every filter on every row, which takes ten times as long.
Format: PNG (W3C, third edition), sections 5, 9 and 10.
"""

from __future__ import annotations

import struct
import zlib
from typing import Any

import numpy as np

__all__ = ["stored_png"]

_STRIP = 2**20  # bytes of rows at a time: besides the image there is only what is written


def stored_png(image: Any) -> bytearray:
    """An RGB image of Pillow's as a PNG of 8 bits, colour type 2, without filters or compression."""
    width, height = image.size
    written = bytearray(b"\x89PNG\r\n\x1a\n")
    _chunk(written, b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    stream = zlib.compressobj(0)
    step = max(_STRIP // (width * 3 + 1), 1)
    for top in range(0, height, step):
        bottom = min(top + step, height)
        rows = np.zeros(
            (bottom - top, width * 3 + 1), np.uint8
        )  # in front of each row its filter, 0 for none
        rows[:, 1:] = np.asarray(image.crop((0, top, width, bottom))).reshape(bottom - top, -1)
        _chunk(written, b"IDAT", stream.compress(rows.data))
    _chunk(written, b"IDAT", stream.flush())
    _chunk(written, b"IEND", b"")
    return written


def _chunk(written: bytearray, kind: bytes, content: bytes) -> None:
    written += struct.pack(">I", len(content)) + kind + content
    written += struct.pack(">I", zlib.crc32(content, zlib.crc32(kind)))
