"""input_spec: what stands for an input becomes an InputSpec, and what is no input stays a Python value."""

from __future__ import annotations

import copy
import enum
import inspect
from collections.abc import Mapping, Sequence
from numbers import Number
from typing import Any

import numpy as np
import paddle
from paddle.static import InputSpec

from ort_rrelu.errors import InvalidTypeError, InvalidValueError

__all__ = ["as_input_spec"]

_TENSORS = (paddle.Tensor, paddle.pir.Value, paddle.static.Variable)
_PYTHON_VALUES = (Number, np.generic, str, bytes, enum.Enum, type, np.dtype, paddle.dtype)


def as_input_spec(input_spec: Any) -> list[Any] | None:
    """A copy of the same structure with an InputSpec for each tensor and NumPy array.

    A copy, because Paddle writes the names of arguments into it. Raises InvalidTypeError or
    InvalidValueError, with the position, unless it is a list or tuple of what export allows, or None.
    """
    if input_spec is None:
        return None
    if not isinstance(input_spec, list | tuple):
        raise InvalidTypeError(
            f"input_spec={input_spec!r}: it must be a list or tuple with a paddle.static.InputSpec, a tensor "
            "or a NumPy array for each input, or None"
        )
    return [_converted(item, f"input_spec[{i}]") for i, item in enumerate(input_spec)]


def _converted(item: Any, where: str) -> Any:
    if isinstance(item, InputSpec):
        return copy.copy(item)
    if isinstance(item, _TENSORS):
        return InputSpec.from_tensor(item)
    if isinstance(item, np.ndarray):
        return _of_array(item, where)
    if isinstance(item, Mapping):
        return _of_mapping(item, where)
    if isinstance(item, list | tuple):
        return _of_sequence(item, where)
    if item is None or isinstance(item, _PYTHON_VALUES) or inspect.isroutine(item):
        return item
    raise InvalidTypeError(
        f"{where} is a {type(item).__module__}.{type(item).__qualname__}: it must be a "
        "paddle.static.InputSpec, a tensor or a NumPy array; a list, tuple or dict of these; or a value that "
        "is no input: None, a number, a string, an enum member, a dtype, a class or a function"
    )


def _of_array(array: Any, where: str) -> InputSpec:
    try:
        return InputSpec.from_numpy(array)
    except (TypeError, ValueError) as error:
        raise InvalidTypeError(f"{where} is an array of {array.dtype}, which Paddle does not have") from error


def _of_mapping(items: Mapping[Any, Any], where: str) -> dict[Any, Any]:
    converted = {key: _converted(item, f"{where}[{key!r}]") for key, item in items.items()}
    for key, item in converted.items():
        # Paddle names it after the key.
        if isinstance(item, InputSpec) and item.name is None and not isinstance(key, str):
            raise InvalidValueError(f"{where}[{key!r}] needs a name, because its key is not a str")
    return converted


def _of_sequence(items: Sequence[Any], where: str) -> Any:
    converted = [_converted(item, f"{where}[{i}]") for i, item in enumerate(items)]
    if isinstance(items, list):
        return converted
    return type(items)(*converted) if hasattr(items, "_fields") else tuple(converted)
