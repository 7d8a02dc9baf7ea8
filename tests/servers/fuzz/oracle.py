"""What a request must get, by the protocol and the limits alone: the answer's bits, or a refusal."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError
from tritonclient.grpc import service_pb2

from ort_rrelu.arguments import Array
from tests.servers.fuzz.models import DATATYPES, Answer, Input, Model

MAX_BYTES, MAX_VALUES, MAX_ID = 2**18, 1000, 256  # the first two are given to the server
_COMMAS_BESIDE = 4096  # between names, shapes and such, at least
_ANYTHING = ""


@dataclass(frozen=True)
class Refusal:
    """Any of the reasons may be named; HTTP statuses, or their counterparts in gRPC, that may say so."""

    reasons: frozenset[str] = frozenset({_ANYTHING})
    statuses: frozenset[int] = frozenset({400})


@dataclass(frozen=True)
class Expected:
    """Outputs by name, in the order asked for. binary: those that must come as bytes, None where any may."""

    answer: Answer
    id: str = ""
    binary: frozenset[str] | None = None


Judgement = Expected | Refusal | None  # None: answered or refused, only the form is known


@dataclass(frozen=True)
class Given:
    """An input of a request: its values as one dimension, or what is wrong with them."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    values: Array | Refusal


def judge(model: Model, inputs: Sequence[Given], outputs: Sequence[str], identifier: str) -> Judgement:
    """Everything that is wrong gives its name to the refusal, since any of it may be named."""
    faults = [fault for given in inputs for fault in _input_faults(model.inputs.get(given.name), given)]
    names = [given.name for given in inputs]
    faults += [Refusal(frozenset({name})) for name in names if names.count(name) > 1]
    faults += [Refusal(frozenset({name})) for name in model.inputs if name not in names]
    faults += [Refusal(frozenset({cut(name)})) for name in outputs if name not in model.outputs]
    faults += [Refusal(frozenset({name})) for name in outputs if outputs.count(name) > 1]
    if len(identifier.encode("utf-8", "surrogatepass")) > MAX_ID:
        faults.append(Refusal(frozenset({"id"})))
    if model.answer is not None:  # strings are UTF-8, an image's bytes need not be
        faults += [Refusal(frozenset({given.name})) for given in inputs if not _is_text(given.values)]
    batches = {given.shape[:1] for given in inputs} if not faults else set()
    if len(batches) > 1:
        faults.append(Refusal(frozenset(model.inputs)))
    if faults:
        return _joined(faults)
    arrays = {given.name: _array(given.values).reshape(given.shape) for given in inputs}
    if model.answer is None:
        return None
    found = model.answer(arrays)
    if isinstance(found, str):
        return Refusal(frozenset({found}))
    return Expected({name: found[name] for name in outputs or model.outputs}, identifier)


def cut(text: str) -> str:
    """As much of a text as a reason repeats for sure."""
    return text[:50]


def _joined(faults: Iterable[Refusal]) -> Refusal:
    reasons, statuses = zip(*((fault.reasons, fault.statuses) for fault in faults), strict=True)
    return Refusal(frozenset().union(*reasons), frozenset().union(*statuses))


def _is_text(values: Array | Refusal) -> bool:
    """Or numbers."""
    if isinstance(values, Refusal) or values.dtype != object:
        return True
    return not any(isinstance(value, bytes) or re.search("[\ud800-\udfff]", value) for value in values)


def _array(values: Array | Refusal) -> Array:
    assert not isinstance(values, Refusal)
    return values


def _input_faults(wanted: Input | None, given: Given) -> list[Refusal]:
    named = Refusal(frozenset({cut(given.name)}))
    if wanted is None or given.datatype != wanted.datatype or not _fits(given.shape, wanted.shape):
        # A body may be refused for its size before anything else.
        return [named, *([given.values] if isinstance(given.values, Refusal) else [])]
    if isinstance(given.values, Refusal):
        return [given.values]
    return [named] if given.values.size != math.prod(given.shape) else []


def _fits(shape: Sequence[int], wanted: Sequence[int | None]) -> bool:
    if len(shape) != len(wanted):
        return False
    return all(
        0 <= size == (size if want is None else want) for size, want in zip(shape, wanted, strict=True)
    )


# HTTP


def judge_body(model: Model, body: bytes, header_length: str | None) -> Judgement:
    """A body of the protocol, binary tensors behind the JSON."""
    if len(body) > MAX_BYTES:
        return Refusal(statuses=frozenset({413}))
    length = len(body)
    if header_length is not None:
        digits = header_length.isascii() and header_length.isdigit() and len(header_length) < 20
        if not digits or int(header_length) > length:
            return Refusal(frozenset({"inference-header-content-length"}))
        length = int(header_length)
    commas = body.count(b",", 0, length)
    if commas > MAX_VALUES + _COMMAS_BESIDE:
        return Refusal(statuses=frozenset({413}))
    too_many = commas > MAX_VALUES
    statuses = frozenset({400, 413} if too_many else {400})
    try:
        request = json.loads(body[:length])
        if not isinstance(request, dict) or not isinstance(request["inputs"], list):
            return Refusal(statuses=statuses)
        identifier = request.get("id", "")
        if not isinstance(identifier, str):
            return Refusal(statuses=statuses)
        asked = _listed(request.get("outputs"))
        outputs = [entry["name"] for entry in asked]
        parameters = [request, *asked, *request["inputs"]]
        if not all(isinstance(owner.get("parameters") or {}, dict) for owner in parameters):
            return Refusal(statuses=statuses)
        inputs = _givens(request["inputs"], body[length:])
        all_binary = _flag(request, "binary_data_output", default=False)
        binary = {entry["name"]: _flag(entry, "binary_data", default=all_binary) for entry in asked}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return Refusal(statuses=statuses)
    if inputs is None:
        return Refusal(statuses=statuses)
    found = judge(model, inputs, [str(name) for name in outputs], identifier)
    if isinstance(found, Refusal):
        return Refusal(found.reasons, found.statuses | statuses)
    if found is None:
        return None
    return replace(found, binary=frozenset(name for name in found.answer if binary.get(name, all_binary)))


def _flag(owner: dict[str, Any], name: str, *, default: bool) -> bool:
    value = (owner.get("parameters") or {}).get(name)
    if not isinstance(value, bool | None):
        raise TypeError
    return default if value is None else value


def _listed(value: Any) -> list[Any]:
    if value and not isinstance(value, list):
        raise TypeError
    return value or []


def _givens(inputs: list[Any], binary: bytes) -> list[Given] | None:
    found, at = [], 0
    for entry in inputs:
        size = (entry.get("parameters") or {}).get("binary_data_size")
        name, datatype, shape = str(entry["name"]), str(entry["datatype"]), entry["shape"]
        if not all(type(dim) is int for dim in shape):
            return None
        count = math.prod(shape)
        if size is not None:
            if not isinstance(size, int) or not 0 <= size <= len(binary) - at:
                return None
            values = raw_values(name, datatype, binary[at : at + size], count)
            at += size
        elif not isinstance(entry.get("data"), list):
            return None
        else:
            values = _json_values(name, datatype, entry["data"], count)
        found.append(Given(name, datatype, tuple(shape), values))
    return found if at == len(binary) else None


def raw_values(name: str, datatype: str, data: bytes, count: int) -> Array | Refusal:
    """Values of a tensor that comes as bytes."""
    refused = Refusal(frozenset({cut(name)}), frozenset({400, 413} if count > MAX_VALUES else {400}))
    if datatype not in DATATYPES:
        return refused
    if datatype == "BYTES":
        texts = _texts(data)
        return refused if texts is None or len(texts) > MAX_VALUES else _objects(texts)
    dtype = np.dtype(DATATYPES[datatype])
    return refused if len(data) % dtype.itemsize else np.frombuffer(data, dtype)


def _texts(data: bytes) -> list[str | bytes] | None:
    found: list[str | bytes] = []
    while data:
        length = int.from_bytes(data[:4], "little")
        if len(data) < 4 + length:
            return None
        text, data = data[4 : 4 + length], data[4 + length :]
        try:
            found.append(text.decode())
        except UnicodeDecodeError:
            found.append(text)
    return found


def _objects(values: Sequence[Any]) -> Array:
    array = np.empty(len(values), object)
    array[:] = values
    return array


def _json_values(name: str, datatype: str, data: list[Any], count: int) -> Array | Refusal:
    flat = data if datatype == "BYTES" else _flat(data)
    many = frozenset({400, 413} if max(count, len(flat or [])) > MAX_VALUES else {400})
    refused = Refusal(frozenset({cut(name)}), many)
    if flat is None or datatype not in DATATYPES or len(flat) > MAX_VALUES:
        return refused
    return converted(flat, datatype) if _fit(flat, datatype) else refused


def _flat(data: list[Any]) -> list[Any] | None:
    """Row by row, None for rows of different lengths."""
    while any(isinstance(value, list) for value in data):
        if not all(isinstance(value, list) and len(value) == len(data[0]) for value in data):
            return None
        data = [inner for value in data for inner in value]
    return data


def _fit(values: Sequence[Any], datatype: str) -> bool:
    """Whether each value is one of the datatype: 1.0 is no integer, and true no number."""
    kind = np.dtype(DATATYPES[datatype]).kind
    if kind in "iu":
        limits = np.iinfo(np.dtype(DATATYPES[datatype]))
        return all(type(value) is int and limits.min <= value <= limits.max for value in values)
    types = {"O": (str,), "b": (bool,), "f": (int, float)}[kind]
    return all(type(value) in types for value in values) and not _too_wide(values)


def _too_wide(values: Sequence[Any]) -> bool:
    """An integer that is no number of a computer."""
    return any(type(value) is int and abs(value) > 1e308 for value in values)


def converted(values: Sequence[Any], datatype: str) -> Array:
    """Values that fit, rounded once."""
    if datatype == "BYTES":
        return _objects(values)
    dtype = DATATYPES[datatype]
    if np.dtype(dtype).kind == "f" and not all(abs(value) < 2**53 for value in values if type(value) is int):
        values = [float(value) for value in values]
    with np.errstate(over="ignore"):
        return np.array([dtype(value) for value in values], dtype)


# gRPC

CONTENTS = {
    "BOOL": "bool_contents",
    **dict.fromkeys(("INT8", "INT16", "INT32"), "int_contents"),
    "INT64": "int64_contents",
    **dict.fromkeys(("UINT8", "UINT16", "UINT32"), "uint_contents"),
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}


def judge_message(model: Model, name: str, message: bytes) -> Judgement:
    """A ModelInferRequest for the server of the model of that name."""
    if len(message) > MAX_BYTES:
        return Refusal(statuses=frozenset({413}))
    try:
        request = service_pb2.ModelInferRequest.FromString(message)
    except DecodeError:
        return Refusal()
    if request.model_name != name or request.model_version:
        return Refusal(statuses=frozenset({400, 404}))
    raw = request.raw_input_contents
    if raw and len(raw) != len(request.inputs):
        return Refusal(frozenset({"raw_input_contents", "id"}))
    inputs = []
    for index, tensor in enumerate(request.inputs):
        count = math.prod(tensor.shape)
        values = raw_values(tensor.name, tensor.datatype, raw[index], count) if raw else _typed(tensor, count)
        inputs.append(Given(tensor.name, tensor.datatype, tuple(tensor.shape), values))
    return judge(model, inputs, [output.name for output in request.outputs], request.id)


def _typed(tensor: Any, count: int) -> Array | Refusal:
    values = list(getattr(tensor.contents, CONTENTS.get(tensor.datatype, "fp32_contents")))
    many = frozenset({400, 413} if max(count, len(values)) > MAX_VALUES else {400})
    refused = Refusal(frozenset({cut(tensor.name)}), many)
    if tensor.datatype not in CONTENTS or len(values) > MAX_VALUES:
        return refused
    if tensor.datatype == "BYTES":
        try:
            return _objects([value.decode() for value in values])
        except UnicodeDecodeError:
            return _objects(values)  # bytes of an image, or strings that are none
    return converted(values, tensor.datatype) if _fit(values, tensor.datatype) else refused
