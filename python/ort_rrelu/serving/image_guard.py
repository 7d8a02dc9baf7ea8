"""Image bytes made safe for onnxruntime-extensions' DecodeImage: decoded by Pillow, and stored as a PNG.

On some invalid bytes it ends the process, on a truncated JPEG it spins for ever (its issue 1094). So Pillow
decodes every image first, and the model gets a PNG that this module wrote. That PNG is not compressed:
Pillow's own writer tries every filter on every row, which takes ten times as long.

Pillow gets the parts of a file that its pixels need. What else it carries (text, profiles, EXIF, thumbnails,
frames of an animation) does not change its pixels here, but costs time and memory to read.
Formats: PNG (W3C, third edition), sections 5, 9 and 10; JPEG (ITU-T T.81), annex B.
"""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx

from ort_rrelu.errors import InvalidValueError, MissingPackageError
from ort_rrelu.graph.nodes import all_nodes, is_standard_op, label
from ort_rrelu.serving.errors import RequestError
from ort_rrelu.serving.limits import Limits

EXTENSIONS_DOMAINS = {"ai.onnx.contrib", "com.microsoft.extensions"}


def image_inputs(model: onnx.ModelProto) -> set[str]:
    """The inputs of a model that it decodes as images.

    Raises InvalidValueError for a DecodeImage whose bytes come from elsewhere: they cannot be checked before.
    """
    inputs = {value.name for value in model.graph.input}
    copies = (node for node in model.graph.node if is_standard_op(node, "Identity"))
    sources = {node.output[0]: node.input[0] for node in copies}
    found = set()
    for node in all_nodes(model):
        if node.op_type == "DecodeImage" and node.domain in EXTENSIONS_DOMAINS:
            name = node.input[0]
            while name in sources:
                name = sources[name]
            if name not in inputs:
                raise InvalidValueError(
                    f"{label(node)} decodes bytes that are no input of the model: they cannot be checked "
                    "before it, which would end the process on invalid ones"
                )
            found.add(name)
    return found


def read_image(data: bytes, limits: Limits) -> ImageFile:
    """The image's header, within the limits; nothing is decoded.

    Raises RequestError when the bytes are no JPEG or PNG, or have no whole header, and when the image has a
    side beyond limits.max_side or more than limits.max_pixels.
    """
    try:
        image = read_header(data)
    except ValueError as error:
        raise RequestError(f"not a whole JPEG or PNG image ({error})") from error
    size = f"the image is {image.width} x {image.height}"
    if max(image.width, image.height) > limits.max_side:
        raise RequestError(f"{size}: a side has at most {limits.max_side} pixels")
    if image.pixels > limits.max_pixels:
        raise RequestError(f"{size}, {image.pixels} pixels: at most {limits.max_pixels}")
    return image


def checked_image(data: bytes, limits: Limits | None = None) -> bytearray:
    """The image, as an RGB PNG that is whole; its pixels are Pillow's, of 16 bits the upper 8.

    Raises RequestError as read_image does, before anything is decoded, and when the file is damaged or cut
    short. An animation gives its first picture; metadata are not read.
    """
    return decoded_image(read_image(data, limits or Limits()))


def decoded_image(file: ImageFile) -> bytearray:
    """As checked_image, for a header that was read. This takes the time, mostly without the GIL."""
    try:
        from PIL import Image
    except ImportError as error:
        raise MissingPackageError(
            "Pillow, which checks images, is not installed: pip install pillow"
        ) from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # the limits are ours
            image = Image.open(io.BytesIO(file.data), formats=(file.form,))
        rgb = _as_rgb(image) if image.size == (file.width, file.height) else None
    except Exception as error:  # Pillow's plugins raise what their parsers raise
        raise RequestError(f"not a whole JPEG or PNG image ({error})") from error
    if rgb is None:
        raise RequestError(f"not a whole JPEG or PNG image (its header says {image.size}, and other sizes)")
    return stored_png(rgb)


def _as_rgb(image: Any) -> Any:
    if not image.mode.startswith("I"):
        return image.convert("RGB")
    from PIL import Image

    # Grey of 16 bits: convert() would clip it at 255. Of 16-bit colours Pillow takes the upper 8 bits itself.
    return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert("RGB")


_PNG = b"\x89PNG\r\n\x1a\n"


_PNG_PARTS = {b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"}


_JPEG = b"\xff\xd8"


_MAX_PARTS = 2**16  # enough for 64 MiB in parts of 1 KiB


_MAX_SCANS = 64  # each costs as much as a whole image, and needs a few bytes; encoders write about ten


_EOI, _SOS = 0xD9, 0xDA


_SIZES = set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # the others of the row are DHT, JPG, DAC


_APP0, _APP14, _APP15, _COMMENT = 0xE0, 0xEE, 0xEF, 0xFE


_NEEDED_APPS = {_APP0, _APP14}  # JFIF and Adobe: which colours the components are


_ALONE = {0x01, *range(0xD0, 0xD9)}  # TEM, RSTn and SOI have no length


_FILL, _STUFFED = 0xFF, 0x00


_RESTARTS = range(0xD0, 0xD8)


_PIECE = 2**20  # searched at a time: other threads run between two pieces


@dataclass(frozen=True)
class ImageFile:
    """Size in pixels, format as Pillow names it, and the bytes that the pixels need."""

    width: int
    height: int
    form: str
    data: bytes

    @property
    def pixels(self) -> int:
        """Their number."""
        return self.width * self.height


def read_header(data: bytes) -> ImageFile:
    """What a file says of itself. Raises ValueError when it is no JPEG or PNG, or damaged before its pixels.

    The time it takes depends on the file's bytes only, not on what they would decompress to.
    """
    if data.startswith(_PNG):
        return _png(data)
    if data.startswith(_JPEG):
        return _jpeg(data)
    raise ValueError("it begins with neither PNG's nor JPEG's signature")


def _png(data: bytes) -> ImageFile:
    kept: list[tuple[int, int]] = [(0, len(_PNG))]
    width = height = 0
    at = len(_PNG)
    for count in range(_MAX_PARTS):
        if at + 8 > len(data):
            raise ValueError("the file ends before its chunk IEND")
        size, kind = struct.unpack_from(">I4s", data, at)
        end = at + 12 + size
        if end > len(data):
            raise ValueError(f"the file ends within its chunk {kind!r}")
        if (kind == b"IHDR") != (count == 0):
            raise ValueError("its chunk IHDR is not the first, or not the only one")
        if kind == b"IHDR":
            if size != 13:
                raise ValueError(f"its chunk IHDR has {size} bytes, not 13")
            width, height = struct.unpack_from(">II", data, at + 8)
        if kind in _PNG_PARTS:
            kept.append((at, end))
        elif not kind[0] & 0x20:
            raise ValueError(f"its chunk {kind!r} is unknown, and needed to show it")
        at = end
        if kind == b"IEND":
            return _image(width, height, "PNG", data, kept)
    raise ValueError(f"it has more than {_MAX_PARTS} chunks")


def _jpeg(data: bytes) -> ImageFile:
    kept: list[tuple[int, int]] = [(0, 2)]
    size: tuple[int, int] | None = None
    scans, at = 0, 2
    for _ in range(_MAX_PARTS):
        start = _next_marker(data, at, ())  # what is between segments is skipped, as libjpeg does
        at, marker = start + 2, data[start + 1]
        if marker == _EOI:
            if size is None or not scans:
                raise ValueError("it has no frame or no scan")
            kept.append((start, at))
            return _image(*size, "JPEG", data, kept)
        if marker in _ALONE:
            raise ValueError(f"a marker 0x{marker:02X} is where a segment should begin")
        length = int.from_bytes(data[at : at + 2], "big")
        at += length
        if length < 2 or at > len(data):
            raise ValueError("the file ends within a segment")
        if marker in _SIZES:
            if size is not None or length < 8:
                raise ValueError("it has two frame headers, or a short one")
            height, width = struct.unpack_from(">HH", data, start + 5)
            size = (width, height)
        if marker == _SOS:
            scans += 1
            if scans > _MAX_SCANS:
                raise ValueError(f"it has more than {_MAX_SCANS} scans")
            at = _next_marker(data, at, _RESTARTS)
        if marker in _NEEDED_APPS or not (_APP0 <= marker <= _APP15 or marker == _COMMENT):
            kept.append((start, at))
    raise ValueError(f"it has more than {_MAX_PARTS} segments")


def _next_marker(data: bytes, at: int, passed: Sequence[int]) -> int:
    """Where the next marker begins that is none of `passed`. Raises ValueError at the end of the file."""
    if data[at : at + 1] == b"\xff" and data[at + 1 : at + 2] not in (b"", b"\xff", b"\0") and not passed:
        return at
    for begin in range(at, len(data) - 1, _PIECE):
        piece = np.frombuffer(data, np.uint8, min(_PIECE + 1, len(data) - begin), begin)
        first = np.flatnonzero(piece[:-1] == _FILL)
        second = piece[first + 1]
        markers = first[~np.isin(second, [_FILL, _STUFFED, *passed])]
        if len(markers):
            return begin + int(markers[0])
    raise ValueError("the file ends before its end marker")


def _image(width: int, height: int, form: str, data: bytes, kept: list[tuple[int, int]]) -> ImageFile:
    if not width or not height:
        raise ValueError(f"its size is {width} x {height}")
    whole = sum(end - start for start, end in kept) == len(data)
    needed = data if whole else b"".join([data[start:end] for start, end in kept])
    return ImageFile(width, height, form, needed)


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
