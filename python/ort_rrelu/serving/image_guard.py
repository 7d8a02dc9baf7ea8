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

__all__ = ["EXTENSIONS_DOMAINS", "checked_image", "image_inputs"]

EXTENSIONS_DOMAINS = {"ai.onnx.contrib", "com.microsoft.extensions"}
_FORMATS = ("JPEG", "PNG")
_MAX_PIXELS = 64 * 1024 * 1024  # 192 MiB decoded


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


def checked_image(data: bytes) -> bytes:
    """The image, as an RGB PNG that is whole; its pixels are Pillow's, of 16 bits the upper 8.

    Raises RequestError when the bytes are no JPEG or PNG, when the file is damaged or cut short, and when it
    has more than 64 Mi pixels.
    """
    try:
        from PIL import Image
    except ImportError as error:
        raise MissingPackageError(
            "Pillow, which checks images, is not installed: pip install pillow"
        ) from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # our limit is below
            image = Image.open(io.BytesIO(data), formats=_FORMATS)
        pixels = image.width * image.height
        rgb = _as_rgb(image) if pixels <= _MAX_PIXELS else None
    except Exception as error:  # Pillow's plugins raise what their parsers raise
        raise RequestError(f"not a whole JPEG or PNG image ({error})") from error
    if rgb is None:
        raise RequestError(f"the image has {pixels} pixels: at most {_MAX_PIXELS}")
    written = io.BytesIO()
    rgb.save(written, "PNG", compress_level=1)
    return written.getvalue()


def _as_rgb(image: Any) -> Any:
    if not image.mode.startswith("I"):
        return image.convert("RGB")
    from PIL import Image

    # Grey of 16 bits: convert() would clip it at 255. Of 16-bit colours Pillow takes the upper 8 bits itself.
    return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert("RGB")
