"""The example inputs of a torch model: random ones of a shape, or arrays from files."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import torch

from ort_rrelu.commands.feed import load
from ort_rrelu.errors import InvalidTypeError, InvalidValueError

__all__ = ["DTYPES", "example_inputs"]

_FLOATS = ("float32", "float64", "float16", "bfloat16")
_INTEGERS = ("int64", "int32", "int16", "int8", "uint8", "bool")
DTYPES = (*_FLOATS, *_INTEGERS)
_SHAPE = re.compile(r" *(?:(?P<dtype>\w+) *: *)?(?P<dims>(?:[0-9]{1,18}(?: *, *[0-9]{1,18})*)?) *")


def example_inputs(shapes: Sequence[str], files: Sequence[str]) -> tuple[torch.Tensor, ...]:
    """Tensors in the order of forward's arguments, from shapes or from .npy files.

    Raises InvalidValueError, InvalidTypeError or OSError that name what was given.
    """
    if bool(shapes) == bool(files):
        raise InvalidValueError(
            "example inputs are needed, one for each argument of forward: "
            "either --input-shape, as in 1,3,32,32, or --input FILE.npy"
        )
    return tuple([_random(text) for text in shapes] or [_from_file(path) for path in files])


def _random(text: str) -> torch.Tensor:
    match = _SHAPE.fullmatch(text)
    if match is None or not text.strip():
        raise InvalidValueError(
            f"--input-shape {text}: write sizes with commas, as in 1,3,32,32, or with a dtype, int64:1,128"
        )
    name = match["dtype"] or "float32"
    if name not in DTYPES:
        raise InvalidValueError(
            f"--input-shape {text}: unknown dtype {name!r}: it must be {', '.join(DTYPES)}"
        )
    shape = [int(size) for size in match["dims"].split(",") if size]
    generator = torch.Generator().manual_seed(0)
    dtype: torch.dtype = getattr(torch, name)
    if name in _FLOATS:
        return torch.randn(shape, generator=generator).to(dtype)
    return torch.randint(0, 2, shape, generator=generator).to(dtype)  # safe as indices


def _from_file(path: str) -> torch.Tensor:
    array = load(path)
    if isinstance(array, dict):
        raise InvalidValueError(f"{path}: an .npz file has no order: give one .npy file for each argument")
    native = np.array(array, dtype=array.dtype.newbyteorder("="), order="C")
    try:
        return torch.from_numpy(native)
    except TypeError as error:
        raise InvalidTypeError(f"{path} has dtype {array.dtype}, which torch does not have") from error
