"""Image bytes that are safe to give to onnxruntime-extensions' DecodeImage.

On some invalid bytes it ends the process, on a truncated JPEG it spins for ever (its issue 1094). So Pillow
decodes every image first, and the model gets a PNG that this module wrote.
"""

from __future__ import annotations

import io
import warnings
from typing import Any

import numpy as np
import onnx

from ort_rrelu.errors import InvalidValueError, MissingPackageError
from ort_rrelu.graph.nodes import all_nodes, label
from ort_rrelu.serving.errors import RequestError
from ort_rrelu.serving.image_header import ImageFile, read_header
from ort_rrelu.serving.limits import Limits
from ort_rrelu.serving.stored_png import stored_png

__all__ = ["EXTENSIONS_DOMAINS", "checked_image", "decoded_image", "image_inputs", "read_image"]

EXTENSIONS_DOMAINS = {"ai.onnx.contrib", "com.microsoft.extensions"}


def image_inputs(model: onnx.ModelProto) -> set[str]:
    """The inputs of a model that it decodes as images.

    Raises InvalidValueError for a DecodeImage whose bytes come from elsewhere: they cannot be checked before.
    """
    inputs = {value.name for value in model.graph.input}
    sources = {node.output[0]: node.input[0] for node in model.graph.node if node.op_type == "Identity"}
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
