"""Weight files: Paddle and Paddle2ONNX take some truncated ones for whole, without a word."""

from __future__ import annotations

import math
import struct
from pathlib import Path
from typing import BinaryIO

from google.protobuf.message import DecodeError
from paddle.base.proto.framework_pb2 import VarType

from ort_rrelu.errors import InvalidValueError, ModelFileError

__all__ = ["check_weights"]

_BYTES = {
    **dict.fromkeys([VarType.BOOL, VarType.UINT8, VarType.INT8], 1),
    **dict.fromkeys([VarType.INT16, VarType.FP16, VarType.BF16], 2),
    **dict.fromkeys([VarType.INT32, VarType.FP32], 4),
    **dict.fromkeys([VarType.INT64, VarType.FP64, VarType.COMPLEX64], 8),
    VarType.COMPLEX128: 16,
}


def check_weights(path: Path, count: int | None = None) -> None:
    """Check that a .pdiparams file is there and whole.

    Args:
        path: the file, a row of tensors as paddle/phi/core/framework/dense_tensor_serialize.cc writes them.
        count: how many tensors there must be, or None.

    Raises:
        ModelFileError: there is no such file.
        InvalidValueError: the file is damaged, or has another number of tensors.
    """
    if not path.is_file():
        raise ModelFileError(f"there is no file {path} with the model's weights")
    size = path.stat().st_size
    found = 0
    try:
        with path.open("rb") as file:
            while file.tell() < size:
                _skip_tensor(file)
                found += 1
            whole = file.tell() == size
    except (struct.error, DecodeError, KeyError, OSError, OverflowError, ValueError) as error:
        raise InvalidValueError(
            f"{path}: damaged, or no weights of Paddle's ({type(error).__name__} in tensor {found})"
        ) from error
    if not whole or (count is not None and found != count):
        wanted = "a whole number" if count is None else count
        raise InvalidValueError(
            f"{path}: damaged: {size} bytes, {found} tensors begun, where {wanted} must be"
        )


def _skip_tensor(file: BinaryIO) -> None:
    def number(code: str) -> int:
        (value,) = struct.unpack(f"<{code}", file.read(struct.calcsize(code)))
        return int(value)

    number("I")  # version
    for _ in range(number("Q")):
        file.seek(number("Q"), 1)  # a level of details
    number("I")  # version
    description = VarType.TensorDesc.FromString(file.read(max(0, number("i"))))
    file.seek(_BYTES[description.data_type] * math.prod(description.dims), 1)
