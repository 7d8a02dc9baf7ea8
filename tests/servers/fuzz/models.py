"""The models that are asked, and what each answers by the specification in plain NumPy."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
import onnx
from PIL import Image

from ort_rrelu import reference
from ort_rrelu.arguments import Array
from ort_rrelu.serving.images import image_classifier
from tests.serving_models import MODELS, parse

Dimension = int | None  # None: the batch
Answer = dict[str, Array]

DATATYPES: dict[str, type[np.generic]] = {
    "BOOL": np.bool_,
    "INT8": np.int8,
    "INT16": np.int16,
    "INT32": np.int32,
    "INT64": np.int64,
    "UINT8": np.uint8,
    "UINT16": np.uint16,
    "UINT32": np.uint32,
    "UINT64": np.uint64,
    "FP16": np.float16,
    "FP32": np.float32,
    "FP64": np.float64,
    "BYTES": np.object_,
}


@dataclass(frozen=True)
class Input:
    """What a request must bring."""

    datatype: str
    shape: tuple[Dimension, ...]


@dataclass(frozen=True)
class Model:
    """answer: the outputs of inputs that fit, or what the refusal names; None where the file decides."""

    proto: onnx.ModelProto
    inputs: dict[str, Input]
    outputs: dict[str, str]
    answer: Callable[[dict[str, Array]], Answer | str] | None


_FLOATS = {"FP16": "float16", "FP32": "float", "FP64": "double"}
_TYPES = {
    name: _FLOATS.get(name, {"BOOL": "bool", "BYTES": "string"}.get(name, name.lower())) for name in DATATYPES
}


def _steps(arrays: dict[str, Array]) -> Answer | str:
    """tests.serving_models' model that draws rows by their own steps, and looks numbers up."""
    at = arrays["at"]
    if at.size and not (at.min() >= -8 and at.max() < 8):
        return "idx="
    y, noise = reference.rrelu(arrays["x"], training=True, seed=7, step=arrays["step"], return_noise=True)
    return {"y": y, "noise": noise, "found": at.astype(np.float32) % 8}


def _kinds(arrays: dict[str, Array]) -> Answer:
    """Every datatype: floats through RRelu, the others as they are."""
    return {
        f"y_{name.removeprefix('x_')}": np.asarray(reference.rrelu(array))
        if array.dtype.kind == "f"
        else array
        for name, array in arrays.items()
    }


def _kinds_proto() -> onnx.ModelProto:
    inputs = ", ".join(f"{kind}[batch,3] x_{name}" for name, kind in _TYPES.items())
    outputs = ", ".join(f"{kind}[batch,3] y_{name}" for name, kind in _TYPES.items())
    nodes = "\n".join(
        f"y_{name} = {'ort_rrelu.RRelu' if name in _FLOATS else 'Identity'} (x_{name})" for name in _TYPES
    )
    return parse(f"g ({inputs}) => ({outputs}) {{ {nodes} }}")


@cache
def models() -> dict[str, Model]:
    """Drawn slopes; every datatype; an image."""
    rows = {"x": Input("FP32", (None, 8)), "at": Input("INT64", (None,)), "step": Input("INT64", (None,))}
    network = parse(
        "g (float[batch,1,4,4] x) => (float[batch,16] y) { z = Flatten (x) \n y = ort_rrelu.RRelu (z) }"
    )
    image = image_classifier(network)
    return {
        "steps": Model(MODELS["steps"], rows, dict.fromkeys(("y", "noise", "found"), "FP32"), _steps),
        "kinds": Model(
            _kinds_proto(),
            {f"x_{name}": Input(name, (None, 3)) for name in DATATYPES},
            {f"y_{name}": name for name in DATATYPES},
            _kinds,
        ),
        "image": Model(
            image, {"image": Input("BYTES", (1,))}, {"label": "INT64", "probabilities": "FP32"}, None
        ),
    }


@cache
def image_files() -> tuple[bytes, ...]:
    """Whole files of small images."""
    pixels = np.zeros((4, 4), np.uint8)
    pixels[1, 2] = 255
    noise = np.random.default_rng(0).integers(0, 256, (24, 24, 3), np.uint8)
    found = []
    for image in (Image.fromarray(pixels), Image.fromarray(noise)):
        for form in ("PNG", "JPEG"):
            written = io.BytesIO()
            image.save(written, form)
            found.append(written.getvalue())
    written = io.BytesIO()
    Image.fromarray(noise).save(written, "JPEG", progressive=True)
    return (*found, written.getvalue())
