"""Tensors of the Open Inference Protocol, checked and turned into arrays; what is wrong has a reason."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np

from ort_rrelu.arguments import Array
from ort_rrelu.serving.errors import RequestError
from ort_rrelu.serving.image_guard import checked_image

__all__ = ["DTYPES", "Answer", "Tensor", "TensorSpec", "as_arrays"]

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


@dataclass(frozen=True)
class TensorSpec:
    """An input or output of a model. A dimension is a size, a name, or None where it is open.

    image: the input takes the bytes of one JPEG or PNG file, as BYTES of shape [1].
    """

    name: str
    datatype: str
    shape: tuple[int | str | None, ...]
    image: bool = False

    @property
    def wire_shape(self) -> list[int]:
        """The shape as the protocol's metadata has it: -1 for what is open."""
        return [dim if isinstance(dim, int) else -1 for dim in self.shape]

    @property
    def readable_shape(self) -> str:
        """The shape as messages have it."""
        return f"[{', '.join('?' if dim is None else str(dim) for dim in self.shape)}]"


@dataclass(frozen=True)
class Tensor:
    """A tensor of a request: `data` is raw bytes (little-endian, row-major), or values, nested or flat."""

    name: str
    datatype: str
    shape: Sequence[int]
    data: bytes | Sequence[Any]


def as_arrays(specs: Sequence[TensorSpec], tensors: Iterable[Tensor]) -> dict[str, Array]:
    """The arrays that a model runs on, by input name.

    Raises RequestError that names the input, what came and what the model takes.
    """
    given: dict[str, Tensor] = {}
    known = {spec.name for spec in specs}
    listed = ", ".join(f'"{spec.name}"' for spec in specs)
    for tensor in tensors:
        if tensor.name not in known:
            raise RequestError(f'there is no input "{tensor.name}": the inputs are {listed}')
        if tensor.name in given:
            raise RequestError(f'input "{tensor.name}" is given twice')
        given[tensor.name] = tensor
    if missing := [f'"{spec.name}"' for spec in specs if spec.name not in given]:
        raise RequestError(f"missing input {', '.join(missing)}: the inputs are {listed}")
    sizes: dict[str, int] = {}
    return {spec.name: _as_array(spec, given[spec.name], sizes) for spec in specs}


def _as_array(spec: TensorSpec, tensor: Tensor, sizes: dict[str, int]) -> Array:
    if tensor.datatype != spec.datatype:
        raise RequestError(
            f'input "{spec.name}": datatype {tensor.datatype}, the model takes {spec.datatype}'
        )
    shape = _checked_shape(spec, tensor, sizes)
    if isinstance(tensor.data, bytes):
        array = _from_bytes(spec, tensor.data)
    else:
        array = _from_values(spec, tensor.data)
    count = int(np.prod(shape, dtype=object))
    if array.size != count:
        raise RequestError(f'input "{spec.name}": {array.size} values, shape {list(shape)} has {count}')
    if spec.image:
        return np.frombuffer(checked_image(_image_bytes(spec, array.item())), np.uint8)
    if spec.datatype == "BYTES":
        array = _texts(spec, array)
    try:
        return array.reshape(shape)
    except (ValueError, OverflowError) as error:  # empty, and too large for NumPy all the same
        raise RequestError(f'input "{spec.name}": shape {list(shape)} is too large') from error


def _checked_shape(spec: TensorSpec, tensor: Tensor, sizes: dict[str, int]) -> tuple[int, ...]:
    """The shape; sizes of named dimensions, which inputs share, are kept in `sizes`."""
    shape = tuple(tensor.shape)
    fits = len(shape) == len(spec.shape) and all(map(_fits, shape, spec.shape))
    if not fits:
        raise RequestError(f'input "{spec.name}": shape {list(shape)}, the model takes {spec.readable_shape}')
    for size, wanted in zip(shape, spec.shape, strict=True):
        if isinstance(wanted, str) and sizes.setdefault(wanted, size) != size:
            raise RequestError(
                f'input "{spec.name}": dimension "{wanted}" is {size}, another input has {sizes[wanted]}'
            )
    return shape


def _fits(size: int, wanted: int | str | None) -> bool:
    return size >= 0 and (not isinstance(wanted, int) or wanted == size)


def _from_bytes(spec: TensorSpec, data: bytes) -> Array:
    if spec.datatype == "BYTES":
        return np.array(_byte_strings(spec, data), object)
    dtype = DTYPES[spec.datatype]
    if len(data) % dtype.itemsize:
        raise RequestError(
            f'input "{spec.name}": {len(data)} bytes are no whole number of {spec.datatype} values'
        )
    return np.frombuffer(data, dtype)


def _byte_strings(spec: TensorSpec, data: bytes) -> list[bytes]:
    """Each element is its length, four bytes, and its bytes."""
    found, at = [], 0
    while at < len(data):
        end = at + 4 + int.from_bytes(data[at : at + 4], "little")
        if at + 4 > len(data) or end > len(data):
            raise RequestError(f'input "{spec.name}": a length among the BYTES goes beyond the data')
        found.append(data[at + 4 : end])
        at = end
    return found


def _from_values(spec: TensorSpec, values: Sequence[Any]) -> Array:
    if spec.datatype == "BYTES":
        return _strings(spec, values)
    dtype = DTYPES[spec.datatype]
    try:
        array = np.array(values)
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


def _strings(spec: TensorSpec, values: Sequence[Any]) -> Array:
    flat = np.empty(len(values), object)
    flat[:] = list(values)
    if not all(isinstance(value, str | bytes) for value in flat):
        raise RequestError(f'input "{spec.name}": BYTES are a flat list of strings')
    return flat


def _texts(spec: TensorSpec, array: Array) -> Array:
    try:
        texts = [value.decode() if isinstance(value, bytes) else value for value in array]
    except UnicodeDecodeError as error:
        raise RequestError(f'input "{spec.name}": strings are UTF-8 ({error})') from error
    return np.array(texts, object)


def _image_bytes(spec: TensorSpec, value: str | bytes) -> bytes:
    if isinstance(value, bytes):
        return value
    try:  # JSON has no bytes
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError) as error:
        raise RequestError(f'input "{spec.name}": JSON carries an image as base64 ({error})') from error
