"""A model that takes milliseconds, so that the server is what saturates and not its clients."""

from __future__ import annotations

import json
from functools import cache

import numpy as np
import onnx

from ort_rrelu import reference
from ort_rrelu.arguments import Array
from tests.serving_models import parse

NAME = "heavy"
_SIZE, _TIMES, _NODES = 8, 2**17, 8


def heavy() -> onnx.ModelProto:
    """Eight slopes of each of some nodes are seen, a million are drawn."""
    drawn = "\n".join(
        f"w{i + 1} = ort_rrelu.RRelu <training = 1, seed = {i}> (w{i}, step)" for i in range(_NODES)
    )
    return parse(
        f"g (float[{_SIZE}] x, int64 step) => (float[{_SIZE}] y) {{ "
        f"times = Constant <value_ints = [{_TIMES}]> () \n w0 = Tile (x, times) \n {drawn} \n"
        f"begin = Constant <value_ints = [0]> () \n end = Constant <value_ints = [{_SIZE}]> () \n"
        f"y = Slice (w{_NODES}, begin, end) }}"
    )


_X = np.full(_SIZE, -1, np.float32)


def request(step: int) -> bytes:
    """Over HTTP, on a connection that is closed afterwards."""
    inputs = [
        {"name": "x", "datatype": "FP32", "shape": [_SIZE], "data": _X.tolist()},
        {"name": "step", "datatype": "INT64", "shape": [], "data": [step]},
    ]
    body = json.dumps({"inputs": inputs}).encode()
    head = f"POST /v2/models/{NAME}/infer HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


@cache
def _expected(step: int) -> Array:
    y: Array = _X
    for seed in range(_NODES):
        y = reference.rrelu(y, training=True, seed=seed, step=step)
    return y


def is_right(answer: bytes, step: int) -> bool:
    """Whether the body of an answer has the slopes of that step."""
    (output,) = json.loads(answer)["outputs"]
    return np.array(output["data"], np.float32).tobytes() == _expected(step).tobytes()
