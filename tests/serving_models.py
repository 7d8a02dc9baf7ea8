"""Small models to serve: what each answers is known without a server."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx

from ort_rrelu.arguments import Array


def parse(body: str, *, opset: int = 18) -> onnx.ModelProto:
    """A model of one graph, with our domain."""
    return onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["": {opset}, "ort_rrelu": 1]> {body}')


def weights() -> Array:
    """[8, 4], of numbers that a few digits write exactly."""
    return (np.arange(32).reshape(8, 4) % 7 - 3).astype(np.float32) / 4


_WEIGHTS = ", ".join(map(str, weights().ravel()))
_LINEAR = f"<float[8,4] w = {{{_WEIGHTS}}}>"


def kinds(datatypes: Sequence[str]) -> onnx.ModelProto:
    """Inputs x_float, x_double ..., each through an RRelu to y_float ...; strings pass as they are."""
    inputs = ", ".join(f"{d}[batch,3] x_{d}" for d in datatypes)
    outputs = ", ".join(f"{d}[batch,3] y_{d}" for d in datatypes)
    ops = {d: "Identity" if d == "string" else "ort_rrelu.RRelu" for d in datatypes}
    nodes = " ".join(f"y_{d} = {op} (x_{d})" for d, op in ops.items())
    return parse(f"g ({inputs}) => ({outputs}) {{ {nodes} }}")


# Each row answers with the number of rows that shared its run.
_ROWS = """rows = Shape <start = 0, end = 1> (x)
    count = CastLike (rows, x)
    zero = Sub (y, y)
    sharing = Add (zero, count)"""

MODELS: dict[str, onnx.ModelProto] = {
    "eval": parse(
        "g (float[batch,8] x) => (float[batch,4] scores, float[batch,8] y) "
        f"{_LINEAR} {{ y = ort_rrelu.RRelu (x) \n scores = MatMul (y, w) }}"
    ),
    "train": parse(
        "g (float[batch,8] x, int64 step) => (float[batch,8] y, float[batch,8] sharing) "
        f"{{ y = ort_rrelu.RRelu <training = 1, seed = 7> (x, step) \n {_ROWS} }}"
    ),
    "steps": parse(
        "g (float[batch,8] x, int64[batch] at, int64[batch] step) "
        "=> (float[batch,8] y, float[batch,8] noise, float[batch] found) "
        "<float[8] w = {0, 1, 2, 3, 4, 5, 6, 7}> "
        "{ y, noise = ort_rrelu.RRelu <training = 1, seed = 7> (x, step) \n found = Gather (w, at) }"
    ),
    "seeded": parse(
        "g (float[batch,8] x) => (float[batch,8] y) { y = ort_rrelu.RRelu <training = 1, seed = 7> (x) }"
    ),
    "lookup": parse(
        "g (int64[batch] at) => (float[batch] y) <float[8] w = {0, 1, 2, 3, 4, 5, 6, 7}> "
        "{ found = Gather (w, at) \n y = ort_rrelu.RRelu (found) }"
    ),
    "centred": parse(
        "g (float[batch,8] x) => (float[batch,8] y) "
        "{ r = ort_rrelu.RRelu (x) \n axes = Constant <value_ints = [0]> () \n m = ReduceMean (r, axes) "
        "\n y = Sub (r, m) }"
    ),
    "numbers": kinds(["float16", "double"]),
    "bfloat16": kinds(["bfloat16"]),
    "strings": kinds(["string"]),
}
