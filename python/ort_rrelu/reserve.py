"""Reserves written and read in plain NumPy: the specification of what the kernels do, and refuse."""

from __future__ import annotations

from typing import cast

import numpy as np
import onnx

from ort_rrelu import library, schema
from ort_rrelu.arguments import Array
from ort_rrelu.errors import InvalidValueError
from ort_rrelu.schema import RESERVE_HEADER, RESERVE_MAGIC, RESERVE_VERSION, reserve_bytes


def pack(params: library.Params, leaks: Array) -> Array:
    """The reserve of one draw; `leaks` says of each element whether it takes the slope."""
    header = np.zeros((), RESERVE_HEADER)
    header["magic"], header["version"] = RESERVE_MAGIC, RESERVE_VERSION
    header["dtype"], header["training"] = params.dtype, params.training
    header["lower"], header["upper"] = params.lower, params.upper
    header["seed"], header["step"], header["size"] = params.seed, params.step, leaks.size
    bits = np.packbits(leaks.ravel(), bitorder="little")
    return np.concatenate([np.frombuffer(header.tobytes(), np.uint8), bits])


def unpack(reserve: Array, dtype: int, size: int) -> tuple[library.Params, Array]:
    """The draw, and which elements take the slope, of a reserve that must be of `size` elements of dtype.

    Raises InvalidValueError that says what is wrong with it.
    """
    _check_length(reserve, size)
    header = reserve[: RESERVE_HEADER.itemsize].view(RESERVE_HEADER)[0]
    _check_header(header, dtype, size)
    params = library.Params(
        dtype,
        float(header["lower"]),
        float(header["upper"]),
        # As the kernels read it: any number, which is then refused.
        cast("bool", int(header["training"].view(np.int32))),
        int(header["seed"]),
        int(header["step"]),
    )
    try:
        library.check(params)
    except InvalidValueError as error:
        raise InvalidValueError(f"in the reserve, {error}") from None
    bits = np.unpackbits(reserve[RESERVE_HEADER.itemsize :], bitorder="little")
    if bits[size:].any():
        raise InvalidValueError("reserve has bits other than 0 after its last element: they must be 0")
    return params, bits[:size].astype(bool)


def _check_length(reserve: Array, size: int) -> None:
    if reserve.size != reserve_bytes(size):
        raise InvalidValueError(
            f"reserve has {reserve.size} bytes: it must have {reserve_bytes(size)} for {size} elements"
        )


def _check_header(header: np.void, dtype: int, size: int) -> None:
    if header["magic"] != RESERVE_MAGIC:
        raise InvalidValueError(
            f"reserve begins with 0x{header['magic']:08x}: it must be what RRelu wrote, "
            f"which begins with 0x{RESERVE_MAGIC:08x}"
        )
    if header["version"] != RESERVE_VERSION:
        raise InvalidValueError(
            f"reserve has version {header['version']}: this library reads version {RESERVE_VERSION}"
        )
    if header["dtype"] != dtype:
        raise InvalidValueError(
            f"reserve is of type {_type_name(header['dtype'])}: it must be {_type_name(dtype)}"
        )
    if header["size"] != size:
        raise InvalidValueError(f"reserve is of {header['size']} elements: it must be {size}")
    if header["zeros"].any():
        raise InvalidValueError("reserve has bytes other than 0 at the end of its header: they must be 0")


def _type_name(dtype: int) -> str:
    known = dtype in schema.DTYPES.values()
    return onnx.TensorProto.DataType.Name(int(dtype)).lower() if known else str(dtype)
