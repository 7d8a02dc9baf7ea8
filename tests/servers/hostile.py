"""Requests that cost a server the most: worst images, allowed and refused, and bodies of numbers."""

from __future__ import annotations

import base64
import io
import json
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
from PIL import Image

_SIDE = 4096


@dataclass(frozen=True)
class Hostile:
    """A body of JSON, and the file or raw tensor that it carries; whether it is answered, or refused."""

    model: str
    body: bytes
    raw: bytes
    shape: list[int]
    datatype: str
    allowed: bool
    typed: int = 0  # as many values in typed contents instead of the raw tensor


def chunk(kind: bytes, content: bytes) -> bytes:
    """A chunk of a PNG file."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(
    width: int, height: int, depth: int, colour: int, rows: bytes, *, interlace: int = 0, extra: bytes = b""
) -> bytes:
    """A PNG file; `extra` are chunks before its pixels."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlace)
    return b"".join(
        [
            b"\x89PNG\r\n\x1a\n",
            chunk(b"IHDR", header),
            extra,
            chunk(b"IDAT", zlib.compress(rows, 1)),
            chunk(b"IEND", b""),
        ]
    )


def jpeg_of_scans(side: int, scans: int) -> bytes:
    """A progressive JPEG whose last scan is repeated."""
    written = io.BytesIO()
    Image.new("L", (side, side), 77).save(written, "JPEG", progressive=True)
    data = written.getvalue()
    last = data.rindex(b"\xff\xda")
    return data[:-2] + data[last:-2] * scans + data[-2:]


@cache
def image_requests() -> dict[str, Hostile]:
    """16 Mi pixels in the forms that cost most; what is refused by its header, parts or pixels."""
    noise = np.random.default_rng(0).integers(0, 256, (3750, 3750, 3), np.uint8)
    plain = bytes(1 + _SIDE * 8) * _SIDE
    text = chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(2**20 - 1), 9)) * 1000
    files = {
        "black and white": (png(_SIDE, _SIDE, 1, 0, bytes(1 + _SIDE // 8) * _SIDE), True),
        "RGBA of 16 bits": (png(_SIDE, _SIDE, 16, 6, plain), True),
        "interlaced": (png(_SIDE, _SIDE, 16, 6, plain + bytes(2 * _SIDE), interlace=1), True),
        "one column": (png(1, 16384, 1, 0, bytes(2) * 16384), True),
        "noise": (_stored(noise), True),
        "scans": (jpeg_of_scans(4096, 50), True),
        "compressed text": (png(64, 64, 8, 2, bytes(193) * 64, extra=text), True),
        "too many pixels": (png(8192, 8192, 1, 0, bytes(1 + 8192 // 8) * 8192), False),
        "too long a side": (png(1, 2**26 - 1, 1, 0, bytes(2) * (2**26 - 1)), False),
        "too many scans": (jpeg_of_scans(2048, 2000), False),
        "too many chunks": (png(1, 1, 1, 0, b"\0\0", extra=chunk(b"IDAT", b"") * 2**21), False),
        "cut short": (png(_SIDE, _SIDE, 16, 6, plain)[:-1000], False),
        "no pixels behind the header": (png(_SIDE, _SIDE, 16, 6, b""), False),
    }
    return {name: _image(file, allowed=allowed) for name, (file, allowed) in files.items()}


def _stored(pixels: np.ndarray) -> bytes:
    height, width, _ = pixels.shape
    rows = np.concatenate([np.zeros((height, 1), np.uint8), pixels.reshape(height, -1)], axis=1)
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = [chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(rows.tobytes(), 0)), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def _image(file: bytes, *, allowed: bool) -> Hostile:
    tensor = {"name": "image", "shape": [1], "datatype": "BYTES", "data": [base64.b64encode(file).decode()]}
    raw = len(file).to_bytes(4, "little") + file
    return Hostile("image", json.dumps({"inputs": [tensor]}).encode(), raw, [1], "BYTES", allowed)


@cache
def number_requests() -> dict[str, Hostile]:
    """For an input float [batch, 4]."""
    million = 2**20

    def json_of(shape: str, data: str) -> bytes:
        return b'{"inputs": [{"name": "x", "shape": %s, "datatype": "FP32", "data": %s}]}' % (
            shape.encode(),
            data.encode(),
        )

    def numbers(count: int) -> str:
        return f"[{'1.5,' * (count - 1)}1.5]"

    made: dict[str, Callable[[], tuple[bytes, list[int], bool]]] = {
        "as many as allowed": lambda: (json_of("[262144, 4]", numbers(million)), [262144, 4], True),
        "as many as the shape says": lambda: (json_of("[4000000, 4]", numbers(16 * 10**6)), [4, 4], False),
        "more than the shape": lambda: (json_of("[1, 4]", numbers(16 * 10**6)), [1, 4], False),
        "lists of one": lambda: (json_of("[1, 4]", f"[{'[1],' * million * 10}[1]]"), [1, 4], False),
        "inputs": lambda: (
            b'{"inputs": [' + b'{"name":"x","shape":[1],"datatype":"FP32","data":[1]},' * million + b"{}]}",
            [1, 4],
            False,
        ),
        "lists in lists": lambda: (json_of("[1, 4]", "[" * 10**7), [1, 4], False),
        "long id": lambda: (b'{"id": "%s", "inputs": []}' % (b"a" * 2**20), [1, 4], False),
        "wide letters": lambda: (
            json.dumps({"id": "\U0001f642" + "a" * 60 * million, "inputs": []}, ensure_ascii=False).encode(),
            [1, 4],
            False,
        ),
    }
    typed = {"as many as the shape says": 2**23, "more than the shape": 2**23, "lists of one": million}
    return {
        name: Hostile(
            "numbers", body, bytes(4 * int(np.prod(shape))), shape, "FP32", allowed, typed.get(name, 0)
        )
        for name, make in made.items()
        for body, shape, allowed in [make()]
    }
