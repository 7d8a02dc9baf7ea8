"""Bodies of the Open Inference Protocol over HTTP: JSON, and the binary extension behind it.

With the header Inference-Header-Content-Length a body is that much JSON, then the tensors that have the
parameter binary_data_size, one after the other.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ort_rrelu.arguments import Array
from ort_rrelu.serving.errors import RequestError
from ort_rrelu.serving.requests import Answer, Tensor, TensorSpec

__all__ = ["HEADER_LENGTH", "InferRequest", "as_bytes", "decode", "encode", "metadata"]

HEADER_LENGTH = "inference-header-content-length"


@dataclass(frozen=True)
class InferRequest:
    """A request; `outputs` are the names asked for, none for all, `binary` those to send as bytes."""

    id: str
    tensors: list[Tensor]
    outputs: list[str]
    binary: set[str]


def decode(body: bytes, header_length: str | None, specs: Sequence[TensorSpec]) -> InferRequest:
    """A request from its body; `specs` are the model's outputs. Raises RequestError."""
    length = _header_length(body, header_length)
    try:
        request = json.loads(body[:length])
        tensors = _tensors(request["inputs"], body[length:])
        outputs = request.get("outputs") or []
        names = [str(output["name"]) for output in outputs]
        binary = {str(output["name"]) for output in outputs if _parameter(output, "binary_data")}
        if _parameter(request, "binary_data_output"):
            binary |= set(names) or {spec.name for spec in specs}
        return InferRequest(str(request.get("id", "")), tensors, names, binary)
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        if isinstance(error, RequestError):
            raise
        raise RequestError(f"not a request of the Open Inference Protocol: {error!r}") from error


def _header_length(body: bytes, header_length: str | None) -> int:
    if header_length is None:
        return len(body)
    # Digits first: int() itself refuses thousands of them.
    if not header_length.isdecimal() or len(header_length) > 19 or int(header_length) > len(body):
        raise RequestError(f"{HEADER_LENGTH} is {header_length[:40]}: the body has {len(body)} bytes")
    return int(header_length)


def _parameter(owner: Mapping[str, Any], name: str) -> Any:
    return (owner.get("parameters") or {}).get(name)


def _tensors(inputs: Sequence[Mapping[str, Any]], binary: bytes) -> list[Tensor]:
    found, at = [], 0
    for tensor in inputs:
        size = _parameter(tensor, "binary_data_size")
        data: Any = tensor.get("data")
        if size is not None:
            if not isinstance(size, int) or not 0 <= size <= len(binary) - at:
                raise RequestError(f'input "{tensor["name"]}": binary_data_size {size} is not in the body')
            data, at = binary[at : at + size], at + size
        elif not isinstance(data, list):
            raise RequestError(f'input "{tensor["name"]}": it has neither a list "data" nor binary data')
        shape = tensor["shape"]
        if not all(type(dim) is int for dim in shape):
            raise RequestError(f'input "{tensor["name"]}": shape {shape} is no list of integers')
        found.append(Tensor(str(tensor["name"]), str(tensor["datatype"]), shape, data))
    if at != len(binary):
        raise RequestError(f"{len(binary) - at} bytes of the body belong to no input")
    return found


def encode(
    name: str, request: InferRequest, specs: Sequence[TensorSpec], answer: Answer
) -> tuple[dict[str, str], bytes]:
    """Headers and body of an answer."""
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
        else:
            entry["data"] = array.reshape(-1).tolist()
        outputs.append(entry)
    head = {"model_name": name, "model_version": "1", "outputs": outputs}
    text = json.dumps(head | ({"id": request.id} if request.id else {})).encode()
    if not blobs:
        return {"content-type": "application/json"}, text
    headers = {"content-type": "application/octet-stream", HEADER_LENGTH: str(len(text))}
    return headers, b"".join([text, *blobs])


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
        "versions": ["1"],
        "platform": "onnxruntime_ort_rrelu",
        "inputs": entries(inputs),
        "outputs": entries(outputs),
    }
