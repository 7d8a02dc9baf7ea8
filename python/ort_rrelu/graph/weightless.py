"""Models read without the bytes of large weights, and written with them again, by protobuf's wire format.

Opening a session so takes no second copy of the weights, and none at all where the model stays as it is.
"""

from __future__ import annotations

import io
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import BinaryIO, NamedTuple, Protocol

import onnx
from google.protobuf.message import DecodeError

_LARGE = 2**16  # bytes, of what is left out
_BYTES_OF_A_FIELD = 2**12  # on average, at least: a graph of more fields is read whole in less time
_LARGEST = 2**31 - 1  # of a protobuf message
_PART = 2**19  # bytes that are copied from a file at a time, within the cache

# Numbers of fields.
_GRAPH = onnx.ModelProto.DESCRIPTOR.fields_by_name["graph"].number
_INITIALIZER = onnx.GraphProto.DESCRIPTOR.fields_by_name["initializer"].number

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5  # wire types


class Source(Protocol):
    """Bytes, wherever they are."""

    size: int

    def read(self, begin: int, end: int) -> bytes | memoryview:
        """What is there from begin to end, or to the end of all."""


class InMemory:
    """Bytes that are there."""

    def __init__(self, data: bytes) -> None:
        self.size = len(data)
        self._view = memoryview(data)

    def read(self, begin: int, end: int) -> memoryview:
        """Without a copy."""
        return self._view[begin:end]


class InFile:
    """Those of an open file; not mapped, for a file that is cut short then would end the process."""

    def __init__(self, file: BinaryIO) -> None:
        self.size = os.fstat(file.fileno()).st_size
        self._file = file

    def read(self, begin: int, end: int) -> bytes:
        """One read."""
        self._file.seek(begin)
        return self._file.read(end - begin)


Places = Mapping[str, tuple[int, int]]  # name of an initializer -> where its message begins and ends


class Weightless(NamedTuple):
    """A model whose large initializers lack their bytes, and the places of these initializers."""

    model: onnx.ModelProto
    weights: Places


class _DamagedError(Exception):
    """Not what protobuf writes."""


class _Field(NamedTuple):
    """A field of a message: its number, where it begins, and from where to where its value is."""

    number: int
    wire_type: int
    begin: int
    value: int
    end: int


def read_weightless(source: Source) -> Weightless | None:
    """The model; None where it is read whole, for it is damaged, or not as tools write models."""
    try:
        return _read(source)
    except (_DamagedError, DecodeError):
        return None


def write_with_weights(model: onnx.ModelProto, weights: Places, source: Source) -> bytes | None:
    """The model, which may have been changed since, with its weights again; None where it is too large.

    An initializer that the model does not have any more is left out. Takes the others from the model, too.
    """
    tensors = model.graph.initializer
    places = [place for place, tensor in enumerate(tensors) if tensor.name in weights]
    kept = [weights[tensors[place].name] for place in places]
    for place in reversed(places):
        del tensors[place]
    tags = [_tag(_INITIALIZER) + _varint(end - begin) for begin, end in kept]
    size = sum(map(len, tags)) + sum(end - begin for begin, end in kept)
    # A message that follows another one is merged into it.
    head = model.SerializeToString() + _tag(_GRAPH) + _varint(size)
    if len(head) + size > _LARGEST:
        return None
    written = io.BytesIO()  # gives its bytes away without a copy
    written.write(head)
    for tag, (begin, end) in zip(tags, kept, strict=True):
        written.write(tag)
        for part in range(begin, end, _PART):
            written.write(source.read(part, min(part + _PART, end)))
    return written.getvalue()


def _read(source: Source) -> Weightless | None:
    fields = list(_fields(source, 0, source.size))
    graphs = [field for field in fields if field.number == _GRAPH]
    if len(graphs) != 1 or graphs[0].wire_type != _BYTES:
        return None
    (graph,) = graphs
    large = []
    for count, field in enumerate(_fields(source, graph.value, graph.end)):
        if count > source.size // _BYTES_OF_A_FIELD:
            return None
        if field.number == _INITIALIZER and field.wire_type == _BYTES and field.end - field.value > _LARGE:
            large.append(field)
    stubs = [_without_large_fields(source, field.value, field.end) for field in large]
    graph_parts = _without(source, graph.value, graph.end, large)
    for stub in stubs:
        graph_parts += [_tag(_INITIALIZER), _varint(len(stub)), stub]
    parts = _without(source, 0, source.size, graphs)
    parts += [_tag(_GRAPH), _varint(sum(map(len, graph_parts))), *graph_parts]
    model = onnx.ModelProto.FromString(b"".join(parts))
    names = [onnx.TensorProto.FromString(stub).name for stub in stubs]
    weights = {name: (field.value, field.end) for name, field in zip(names, large, strict=True)}
    every = Counter(tensor.name for tensor in model.graph.initializer)
    if len(weights) < len(large) or any(every[name] > 1 for name in weights):
        return None  # two of one name
    if not model.ir_version:
        return None
    return Weightless(model, weights)


def _without_large_fields(source: Source, begin: int, end: int) -> bytes:
    fields = _fields(source, begin, end)
    large = [field for field in fields if field.end - field.value > _LARGE]
    return b"".join(_without(source, begin, end, large))


def _without(source: Source, begin: int, end: int, fields: list[_Field]) -> list[bytes | memoryview]:
    """What lies between these fields."""
    parts = []
    for field in fields:
        parts.append(source.read(begin, field.begin))
        begin = field.end
    return [*parts, source.read(begin, end)]


_HEAD = 20  # bytes: no tag and length have more
_WINDOW = 2**14  # bytes that are read ahead


def _fields(source: Source, begin: int, end: int) -> Iterator[_Field]:
    window, base = b"", begin
    while begin < end:
        if begin + _HEAD > base + len(window):
            window, base = bytes(source.read(begin, min(begin + _WINDOW, end))), begin
        start = begin - base
        tag, place = _number(window, start)
        wire_type = tag & 7
        if wire_type == _BYTES:
            length, place = _number(window, place)
            value = begin + place - start
            after = value + length
        elif wire_type == _VARINT:
            value = begin + place - start
            after = begin + _number(window, place)[1] - start
        elif wire_type in (_FIXED64, _FIXED32):
            value = begin + place - start
            after = value + (8 if wire_type == _FIXED64 else 4)
        else:
            raise _DamagedError
        if after > end or not tag >> 3:
            raise _DamagedError
        yield _Field(tag >> 3, wire_type, begin, value, after)
        begin = after


def _number(data: bytes, place: int) -> tuple[int, int]:
    """A varint, and where it ends."""
    if place < len(data) and data[place] < 0x80:  # as most are
        return data[place], place + 1
    number = 0
    for shift in range(0, 70, 7):
        if place >= len(data):
            raise _DamagedError
        number |= (data[place] & 0x7F) << shift
        place += 1
        if not data[place - 1] & 0x80:
            return number, place
    raise _DamagedError


def _varint(number: int) -> bytes:
    data = bytearray()
    while number > 0x7F:
        data.append(number & 0x7F | 0x80)
        number >>= 7
    data.append(number)
    return bytes(data)


def _tag(field: int) -> bytes:
    return _varint(field << 3 | _BYTES)
