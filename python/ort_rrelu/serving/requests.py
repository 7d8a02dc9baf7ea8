"""Tensors of the Open Inference Protocol, checked and turned into arrays; what is wrong has a reason."""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np

from ort_rrelu.arguments import Array
from ort_rrelu.serving.errors import RequestError, shown
from ort_rrelu.serving.limits import MAX_ID_BYTES, Limits
from ort_rrelu.tensors import Dimension, fits, shape_text

# The protocol's names. BYTES are strings, or a file's bytes where the model takes an encoded image.
DTYPES: dict[str, np.dtype[Any]] = {
    "BOOL": np.dtype(bool),
    **{
        f"{sign}INT{bits}": np.dtype(f"{sign}int{bits}".lower())
        for sign in ("", "U")
        for bits in (8, 16, 32, 64)
    },
    "FP16": np.dtype(np.float16),
    "BF16": np.dtype(ml_dtypes.bfloat16),
    "FP32": np.dtype(np.float32),
    "FP64": np.dtype(np.float64),
    "BYTES": np.dtype(object),
}

Answer = dict[str, Array]

_MAX_RANK = 64  # NumPy's
_BASE64_PIECE = 2**18  # a multiple of 4: other threads run between two pieces


@dataclass(frozen=True)
class TensorSpec:
    """An input or output of a model. A dimension is a size, a name, or None where it is open.

    image: the input takes the bytes of one JPEG or PNG file, as BYTES of shape [1].
    """

    name: str
    datatype: str
    shape: tuple[Dimension, ...]
    image: bool = False

    @property
    def wire_shape(self) -> list[int]:
        """The shape as the protocol's metadata has it: -1 for what is open."""
        return [dim if isinstance(dim, int) else -1 for dim in self.shape]

    @property
    def readable_shape(self) -> str:
        """The shape as messages have it."""
        return shape_text(self.shape)


@dataclass(frozen=True)
class Tensor:
    """A tensor of a request: `data` is raw bytes (little-endian, row-major), or values, nested or flat."""

    name: str
    datatype: str
    shape: Sequence[int]
    data: bytes | Sequence[Any]


def check_id(value: object) -> str:
    """A request's id. Raises RequestError for one that is no string, or has more than 256 bytes."""
    if not isinstance(value, str):
        raise RequestError(f"id {shown(value)}: it must be a string")
    size = len(value.encode("utf-8", "surrogatepass"))
    if size > MAX_ID_BYTES:
        raise RequestError(f"id {shown(value)}: it has {size} bytes, at most {MAX_ID_BYTES}")
    return value


def as_arrays(
    specs: Sequence[TensorSpec], tensors: Iterable[Tensor], limits: Limits | None = None
) -> dict[str, Array]:
    """The arrays that a model runs on, by input name; an image is an array of one object, its file's bytes.

    Values are counted before they are converted. Raises RequestError that names the input, what came and what
    the model takes.
    """
    given: dict[str, Tensor] = {}
    known = {spec.name for spec in specs}
    listed = ", ".join(f'"{spec.name}"' for spec in specs)
    for tensor in tensors:
        if tensor.name not in known:
            raise RequestError(f'there is no input "{shown(tensor.name)}": the inputs are {listed}')
        if tensor.name in given:
            raise RequestError(f'input "{tensor.name}" is given twice')
        given[tensor.name] = tensor
    if missing := [f'"{spec.name}"' for spec in specs if spec.name not in given]:
        raise RequestError(f"missing input {', '.join(missing)}: the inputs are {listed}")
    sizes: dict[str, int] = {}
    most = (limits or Limits()).max_values
    return {spec.name: _as_array(spec, given[spec.name], sizes, most) for spec in specs}


def _as_array(spec: TensorSpec, tensor: Tensor, sizes: dict[str, int], most: int) -> Array:
    if tensor.datatype != spec.datatype:
        raise RequestError(
            f'input "{spec.name}": datatype {shown(tensor.datatype)}, the model takes {spec.datatype}'
        )
    shape = _checked_shape(spec, tensor, sizes)
    count = math.prod(shape)
    if isinstance(tensor.data, bytes) and spec.datatype != "BYTES":
        array = _from_bytes(spec, tensor.data)
    else:
        array = _from_items(spec, tensor.data, shape, most)
    if array.size != count:
        raise _wrong_count(spec, array.size, shape)
    if spec.image:
        return _objects([_image_bytes(spec, array.item())])
    if spec.datatype == "BYTES":
        array = _texts(spec, array)
    try:
        return array.reshape(shape)
    except (ValueError, OverflowError) as error:  # empty, and too large for NumPy all the same
        raise RequestError(f'input "{spec.name}": shape {shown(shape)} is too large') from error


def _wrong_count(spec: TensorSpec, found: int | str, shape: Sequence[int]) -> RequestError:
    has = f"shape {shown(shape)} has {shown(math.prod(shape))}"
    return RequestError(f'input "{spec.name}": {found} values, {has}')


def _checked_shape(spec: TensorSpec, tensor: Tensor, sizes: dict[str, int]) -> tuple[int, ...]:
    """The shape; sizes of named dimensions, which inputs share, are kept in `sizes`."""
    shape = tuple(tensor.shape)
    if min(shape, default=0) < 0 or not fits(shape, spec.shape):
        raise RequestError(
            f'input "{spec.name}": shape {shown(shape)}, the model takes {spec.readable_shape}'
        )
    for size, wanted in zip(shape, spec.shape, strict=True):
        if isinstance(wanted, str) and sizes.setdefault(wanted, size) != size:
            raise RequestError(
                f'input "{spec.name}": dimension "{wanted}" is {shown(size)}, another input has '
                f"{shown(sizes[wanted])}"
            )
    return shape


def _from_bytes(spec: TensorSpec, data: bytes) -> Array:
    dtype = DTYPES[spec.datatype]
    if len(data) % dtype.itemsize:
        raise RequestError(
            f'input "{spec.name}": {len(data)} bytes are no whole number of {spec.datatype} values'
        )
    return np.frombuffer(data, dtype)


def _from_items(spec: TensorSpec, data: bytes | Sequence[Any], shape: Sequence[int], most: int) -> Array:
    """Strings, and numbers that come one by one; they are counted first."""
    count = math.prod(shape)
    if isinstance(data, bytes):
        return _objects(_byte_strings(spec, data, shape, most))
    found = len(data) if spec.datatype == "BYTES" else _size(data, count)
    if found != count:
        raise _wrong_count(spec, f"more than {count}" if found > count else found, shape)
    if count > most:
        raise _too_many(spec, most)
    numbers = spec.datatype not in ("BOOL", "BYTES")
    # NumPy makes 1.0 of true beside 2.0. Typed contents of gRPC, which are no list, cannot mix them.
    if numbers and isinstance(data, list) and bool in _types(data):
        raise RequestError(f'input "{spec.name}": data has true or false, not {spec.datatype} alone')
    return _from_values(spec, data if isinstance(data, list) else list(data))


def _too_many(spec: TensorSpec, most: int) -> RequestError:
    return RequestError(
        f'input "{spec.name}": more than {most} strings, or values of JSON or of typed contents; numbers may '
        "come as bytes",
        413,
    )


def _size(values: Sequence[Any], most: int, depth: int = 0) -> int:
    """How many values nested lists have; counting ends beyond `most`."""
    if depth == _MAX_RANK or not values or not isinstance(values[0], list):
        return len(values)
    found = 0
    for value in values:
        found += _size(value, most, depth + 1) if isinstance(value, list) else 1
        if found > most:
            break
    return found


def _byte_strings(spec: TensorSpec, data: bytes, shape: Sequence[int], most: int) -> list[bytes]:
    """Each element is its length, four bytes, and its bytes."""
    found: list[bytes] = []
    at, count = 0, math.prod(shape)
    while at < len(data):
        end = at + 4 + int.from_bytes(data[at : at + 4], "little")
        if at + 4 > len(data) or end > len(data):
            raise RequestError(f'input "{spec.name}": a length among the BYTES goes beyond the data')
        if len(found) == min(count, most):
            raise _too_many(spec, most) if count > most else _wrong_count(spec, f"more than {count}", shape)
        found.append(data[at + 4 : end])
        at = end
    return found


def _from_values(spec: TensorSpec, values: Sequence[Any]) -> Array:
    if spec.datatype == "BYTES":
        if not all(isinstance(value, str | bytes) for value in values):
            raise RequestError(f'input "{spec.name}": BYTES are a flat list of strings')
        return _objects(values)
    dtype = DTYPES[spec.datatype]
    try:
        array = _numbers(values, dtype)
    except (TypeError, ValueError, OverflowError) as error:
        raise RequestError(f'input "{spec.name}": data is no array ({error})') from error
    # Not NumPy's own rules, which make 1 of 1.5 and refuse the integers that JSON has for 1.0.
    kinds = {"b": "b", "i": "iu", "u": "iu"}.get(dtype.kind, "iuf")
    if array.size and array.dtype.kind not in kinds:
        raise RequestError(f'input "{spec.name}": data is {array.dtype}, not {spec.datatype}')
    with np.errstate(over="ignore"):
        converted = array.astype(dtype)
    if dtype.kind in "iu" and not np.array_equal(array, converted):
        raise RequestError(f'input "{spec.name}": a number in data is out of the range of {spec.datatype}')
    return converted


def _numbers(values: Sequence[Any], dtype: np.dtype[Any]) -> Array:
    """As NumPy reads them, but for integers of 64 bits and more, of which it makes floats or objects."""
    array = np.array(values)
    if array.dtype.kind == "f" and dtype.kind in "iu":  # 1 and 2^63 together
        return _large_integers(values, array)
    if array.dtype == object and dtype.kind not in "biu" and _types(values) <= {int, float}:
        return np.array(values, np.float64)
    return array


def _large_integers(values: Sequence[Any], read: Array) -> Array:
    if _types(values) != {int}:
        return read
    exact = np.array(values, object)
    return exact.astype(np.uint64) if exact.min() >= 0 else read


def _types(values: Sequence[Any], depth: int = 0) -> set[type]:
    """Of all values, in nested lists too; what lies deeper than arrays can is a list."""
    types = set(map(type, values))
    if list not in types or depth == _MAX_RANK:
        return types
    nested = (_types(value, depth + 1) for value in values if isinstance(value, list))
    return (types - {list}).union(*nested)


def _objects(values: Sequence[Any]) -> Array:
    """One dimension, whatever the values are."""
    flat = np.empty(len(values), object)
    flat[:] = list(values)
    return flat


def _texts(spec: TensorSpec, array: Array) -> Array:
    try:
        texts = [value.decode() if isinstance(value, bytes) else value for value in array]
        "".join(texts).encode()  # JSON can name halves of a letter
    except UnicodeError as error:
        raise RequestError(f'input "{spec.name}": strings are UTF-8 ({error})') from error
    return np.array(texts, object)


def _image_bytes(spec: TensorSpec, value: str | bytes) -> bytes:
    if isinstance(value, bytes):
        return value
    pieces = []
    try:  # JSON has no bytes
        for at in range(0, len(value), _BASE64_PIECE):
            piece = value[at : at + _BASE64_PIECE]
            last = at + len(piece) == len(value)
            pieces.append(base64.b64decode(piece if last else piece.replace("=", "!"), validate=True))
    except (binascii.Error, ValueError) as error:
        raise RequestError(f'input "{spec.name}": JSON carries an image as base64 ({error})') from error
    return b"".join(pieces)
