"""Bodies of the Open Inference Protocol over HTTP: JSON, and the binary extension behind it.

With the header Inference-Header-Content-Length a body is that much JSON, then the tensors that have the
parameter binary_data_size, one after the other.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ort_rrelu.arguments import Array
from ort_rrelu.serving.errors import RequestError, shown
from ort_rrelu.serving.limits import Limits
from ort_rrelu.serving.requests import Answer, Tensor, TensorSpec, check_id

HEADER_LENGTH = "inference-header-content-length"

_PIECE = 2**20  # other threads run between two pieces
_MAX_WIDE = 2**24
_SLACK = 4096  # commas between names, parameters and inputs
_SHAPE, _SHAPE_LIST = b'"shape"', re.compile(rb"\s*:\s*\[\s*((?:\d{1,19}\s*(?:,\s*\d{1,19}\s*){0,63})?)\]")
_MAX_INPUTS = 1000
VERSION = "1"  # where a server has no versions of models, and metadata must list one
_VALUES = 2**14  # written at a time


@dataclass(frozen=True)
class InferRequest:
    """A request; `outputs` are the names asked for, none for all, `binary` those to send as bytes."""

    id: str
    tensors: list[Tensor]
    outputs: list[str]
    binary: set[str]


def decode(
    body: bytes | bytearray,
    header_length: str | None,
    specs: Sequence[TensorSpec],
    limits: Limits | None = None,
) -> InferRequest:
    """A request from its body; `specs` are the model's outputs. Raises RequestError.

    Its values are counted first: to read them takes a hundred times as long, and many times their bytes.
    """
    length = _header_length(body, header_length)
    _check_values(body, length, (limits or Limits()).max_values)
    try:
        request = json.loads(body if length == len(body) else body[:length])
        tensors = _tensors(request["inputs"], memoryview(body)[length:])
        outputs = request.get("outputs") or []
        names = [str(output["name"]) for output in outputs]
        all_binary = _flag(request, "binary_data_output", default=False)
        flags = {str(output["name"]): _flag(output, "binary_data", default=all_binary) for output in outputs}
        binary = {name for name in names or (spec.name for spec in specs) if flags.get(name, all_binary)}
        return InferRequest(check_id(request.get("id", "")), tensors, names, binary)
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        if isinstance(error, RequestError):
            raise
        # Not its repr(), which has the whole body where that is no UTF-8.
        reason = f"{type(error).__name__}: {error}"
        raise RequestError(f"not a request of the Open Inference Protocol: {reason}") from error


def _check_values(body: bytes | bytearray, length: int, most: int) -> None:
    """Raise RequestError for JSON that has more values than the request declares, or than are allowed.

    Each value but the first of a list or object has a comma before it; commas in strings count too. In a text
    of Python, one wide letter makes four bytes of every other one: large bodies have none.
    """
    if length > _MAX_WIDE and not body.isascii():
        raise RequestError(
            f"the JSON has {length} bytes: above {_MAX_WIDE} it must be ASCII, with \\u escapes", 413
        )
    commas = sum(body.count(b",", at, min(at + _PIECE, length)) for at in range(0, length, _PIECE))
    if commas > most + _SLACK:
        raise RequestError(
            f"the JSON has {commas} commas: at most {most} values; numbers may come as bytes", 413
        )
    if commas <= _SLACK or body.find(b'"BYTES"', 0, length) >= 0:
        return
    declared = _declared(body, length)
    if declared is not None and commas > declared + _SLACK:
        raise RequestError(f"the JSON has {commas} commas: its shapes have {declared} values")


def _declared(body: bytes | bytearray, length: int) -> int | None:
    """The values of all shapes together, None when they are not written as usual."""
    found, at = 0, body.find(_SHAPE, 0, length)
    for _ in range(_MAX_INPUTS):
        if at < 0:
            return found
        if (shape := _SHAPE_LIST.match(body, at + len(_SHAPE), length)) is None:
            return None
        found += math.prod(int(size) for size in shape[1].split(b",") if shape[1])
        at = body.find(_SHAPE, shape.end(), length)
    return None


def _header_length(body: bytes | bytearray, header_length: str | None) -> int:
    if header_length is None:
        return len(body)
    # Digits first: int() itself refuses thousands of them.
    if not header_length.isdecimal() or len(header_length) > 19 or int(header_length) > len(body):
        raise RequestError(f"{HEADER_LENGTH} is {shown(header_length)}: the body has {len(body)} bytes")
    return int(header_length)


def _parameter(owner: Mapping[str, Any], name: str) -> Any:
    return (owner.get("parameters") or {}).get(name)


def _flag(owner: Mapping[str, Any], name: str, *, default: bool) -> bool:
    value = _parameter(owner, name)
    if value is not None and not isinstance(value, bool):
        raise RequestError(f"parameter {name} is {shown(value)}: it must be true or false")
    return default if value is None else value


def _tensors(inputs: Sequence[Mapping[str, Any]], binary: memoryview) -> list[Tensor]:
    found, at = [], 0
    for tensor in inputs:
        size = _parameter(tensor, "binary_data_size")
        data: Any = tensor.get("data")
        if size is not None:
            if not isinstance(size, int) or not 0 <= size <= len(binary) - at:
                raise RequestError(
                    f'input "{shown(tensor["name"])}": binary_data_size {shown(size)} is not in the body'
                )
            data, at = bytes(binary[at : at + size]), at + size
        elif not isinstance(data, list):
            raise RequestError(
                f'input "{shown(tensor["name"])}": it has neither a list "data" nor binary data'
            )
        shape = tensor["shape"]
        if not all(type(dim) is int for dim in shape):
            raise RequestError(
                f'input "{shown(tensor["name"])}": shape {shown(shape)} is no list of integers'
            )
        found.append(Tensor(str(tensor["name"]), str(tensor["datatype"]), shape, data))
    if at != len(binary):
        raise RequestError(f"{len(binary) - at} bytes of the body belong to no input")
    return found


def encode(
    name: str, version: str | None, request: InferRequest, specs: Sequence[TensorSpec], answer: Answer
) -> tuple[dict[str, str], bytes]:
    """Headers and body of an answer. name, version: the model's; it may have no version."""
    datatypes = {spec.name: spec.datatype for spec in specs}
    outputs, blobs = [], []
    for output, array in answer.items():
        entry: dict[str, Any] = {
            "name": output,
            "datatype": datatypes[output],
            "shape": list(array.shape),
        }
        if output in request.binary:
            blobs.append(as_bytes(array))
            entry["parameters"] = {"binary_data_size": len(blobs[-1])}
            outputs.append(json.dumps(entry))
        else:
            outputs.append(f'{json.dumps(entry)[:-1]}, "data": [{_values(array)}]}}')
    head = {"model_name": name, "model_version": version, "id": request.id or None}
    head = {key: value for key, value in head.items() if value is not None}
    text = f'{json.dumps(head)[:-1]}, "outputs": [{", ".join(outputs)}]}}'.encode()
    if not blobs:
        return {"content-type": "application/json"}, text
    headers = {"content-type": "application/octet-stream", HEADER_LENGTH: str(len(text))}
    return headers, b"".join([text, *blobs])


def _values(array: Array) -> str:
    flat = array.reshape(-1)
    pieces = (flat[at : at + _VALUES] for at in range(0, len(flat), _VALUES))
    return ", ".join(json.dumps(piece.tolist())[1:-1] for piece in pieces)


def as_bytes(array: Array) -> bytes:
    """A tensor as raw bytes of the protocol."""
    if array.dtype.kind not in "OUS":
        return array.tobytes()
    texts = [str(value).encode() for value in np.ravel(array)]
    return b"".join(len(text).to_bytes(4, "little") + text for text in texts)


def metadata(name: str, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]) -> dict[str, Any]:
    """A model's metadata."""

    def entries(specs: Sequence[TensorSpec]) -> list[dict[str, Any]]:
        return [{"name": s.name, "datatype": s.datatype, "shape": s.wire_shape} for s in specs]

    return {
        "name": name,
        "versions": [VERSION],
        "platform": "onnxruntime_ort_rrelu",
        "inputs": entries(inputs),
        "outputs": entries(outputs),
    }
