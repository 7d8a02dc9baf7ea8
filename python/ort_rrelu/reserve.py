"""Reserves written and read in plain NumPy: the specification of what the kernels do, and refuse."""

from __future__ import annotations

from typing import cast

import numpy as np
import onnx

from ort_rrelu import library, schema
from ort_rrelu.arguments import Array
from ort_rrelu.errors import InvalidValueError
from ort_rrelu.schema import (
    RESERVE_HEADER,
    RESERVE_MAGIC,
    RESERVE_ROWS_VERSION,
    RESERVE_VERSION,
    reserve_bytes,
)

_STEP = np.dtype("<i8")


def pack(params: library.Params, steps: Array | None, leaks: Array) -> Array:
    """The reserve of one draw; `leaks` says of each element whether it takes the slope.

    steps: those of rows, two or more, whose draw has no step beside them.
    """
    header = np.zeros((), RESERVE_HEADER)
    header["magic"] = RESERVE_MAGIC
    header["version"] = RESERVE_VERSION if steps is None else RESERVE_ROWS_VERSION
    header["dtype"], header["training"] = params.dtype, params.training
    header["lower"], header["upper"] = params.lower, params.upper
    header["seed"], header["step"], header["size"] = params.seed, params.step, leaks.size
    header["rows"] = 0 if steps is None else steps.size
    start = header.tobytes() + (b"" if steps is None else steps.astype(_STEP).tobytes())
    bits = np.packbits(leaks.ravel(), bitorder="little")
    return np.concatenate([np.frombuffer(start, np.uint8), bits])


def unpack(reserve: Array, dtype: int, size: int) -> tuple[library.Params, Array | None, Array]:
    """The draw, the steps of rows if they have some, and which elements take the slope.

    The reserve must be of `size` elements of dtype.

    Raises InvalidValueError that says what is wrong with it.
    """
    rows = _rows(reserve, size)
    header = np.frombuffer(reserve[: RESERVE_HEADER.itemsize].tobytes(), RESERVE_HEADER)[0]
    _check_header(header, dtype, size, rows)
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
    steps, packed = np.split(reserve[RESERVE_HEADER.itemsize :], [rows * _STEP.itemsize])
    bits = np.unpackbits(packed, bitorder="little")
    if bits[size:].any():
        raise InvalidValueError("reserve has bits other than 0 after its last element: they must be 0")
    own = np.frombuffer(steps.tobytes(), _STEP).astype(np.int64) if rows else None
    return params, own, bits[:size].astype(bool)


def _rows(reserve: Array, size: int) -> int:
    """Those that have steps of their own, as the length tells; 0 where one step drew all."""
    rows, rest = divmod(reserve.size - reserve_bytes(size), _STEP.itemsize)
    if rest or rows < 0 or (rows and (rows < 2 or size % rows)):
        raise InvalidValueError(
            f"reserve has {reserve.size} bytes: it must have {reserve_bytes(size)} for {size} elements, and "
            f"{_STEP.itemsize} more for each row that has a step of its own"
        )
    return rows


def _check_header(header: np.void, dtype: int, size: int, rows: int) -> None:
    if header["magic"] != RESERVE_MAGIC:
        raise InvalidValueError(
            f"reserve begins with 0x{header['magic']:08x}: it must be what RRelu wrote, "
            f"which begins with 0x{RESERVE_MAGIC:08x}"
        )
    if header["version"] not in (RESERVE_VERSION, RESERVE_ROWS_VERSION):
        raise InvalidValueError(
            f"reserve has version {header['version']}: this library reads versions {RESERVE_VERSION} and "
            f"{RESERVE_ROWS_VERSION}"
        )
    if header["dtype"] != dtype:
        raise InvalidValueError(
            f"reserve is of type {_type_name(header['dtype'])}: it must be {_type_name(dtype)}"
        )
    if header["size"] != size:
        raise InvalidValueError(f"reserve is of {header['size']} elements: it must be {size}")
    has_rows = header["version"] == RESERVE_ROWS_VERSION
    if (header["rows"] and not has_rows) or header["zero"]:
        raise InvalidValueError("reserve has bytes other than 0 at the end of its header: they must be 0")
    if has_rows:
        _check_rows(header, size)
    if header["rows"] != rows:
        raise InvalidValueError(
            f"reserve has another length than the {header['rows']} steps of rows of its header ask for"
        )


def _check_rows(header: np.void, size: int) -> None:
    if header["step"]:
        raise InvalidValueError(f"reserve has step {header['step']} beside steps of rows: it must be 0")
    if header["rows"] < 2 or size % int(header["rows"]):
        raise InvalidValueError(
            f"reserve is of {header['rows']} rows: they must be 2 or more, and divide the {size} elements"
        )


def _type_name(dtype: int) -> str:
    known = dtype in schema.DTYPES.values()
    return onnx.TensorProto.DataType.Name(int(dtype)).lower() if known else str(dtype)
