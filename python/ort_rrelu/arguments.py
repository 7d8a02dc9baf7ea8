"""Arguments that several functions share, checked once: those of functional.py and reference.py, switches."""

from __future__ import annotations

import operator
import os
from collections.abc import Callable, Sequence
from typing import Any, Final, Literal, Protocol, cast, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ort_rrelu import library, schema
from ort_rrelu.errors import InvalidTypeError, InvalidValueError

Array = NDArray[Any]

# What exporters take: one step for all rows, or none; or one for each row.
StepInput = bool | Literal["rows"]
ROWS: Final = "rows"


class RReluFunction(Protocol):
    """`rrelu` returns y alone, or y and what else was asked for."""

    @overload
    def __call__(
        self,
        x: ArrayLike,
        lower: float = ...,
        upper: float = ...,
        training: bool = ...,
        *,
        seed: int | None = ...,
        step: ArrayLike = ...,
        return_noise: Literal[False] = ...,
        return_reserve: Literal[False] = ...,
        out: Array | None = ...,
    ) -> Array: ...

    @overload
    def __call__(
        self,
        x: ArrayLike,
        lower: float = ...,
        upper: float = ...,
        training: bool = ...,
        *,
        seed: int | None = ...,
        step: ArrayLike = ...,
        return_noise: Literal[True],
        return_reserve: Literal[False] = ...,
        out: Array | None = ...,
    ) -> tuple[Array, Array]: ...

    @overload
    def __call__(
        self,
        x: ArrayLike,
        lower: float = ...,
        upper: float = ...,
        training: bool = ...,
        *,
        seed: int | None = ...,
        step: ArrayLike = ...,
        return_noise: Literal[False] = ...,
        return_reserve: Literal[True],
        out: Array | None = ...,
    ) -> tuple[Array, Array]: ...

    @overload
    def __call__(
        self,
        x: ArrayLike,
        lower: float = ...,
        upper: float = ...,
        training: bool = ...,
        *,
        seed: int | None = ...,
        step: ArrayLike = ...,
        return_noise: Literal[True],
        return_reserve: Literal[True],
        out: Array | None = ...,
    ) -> tuple[Array, Array, Array]: ...


def as_rrelu_function(function: Callable[..., Any]) -> RReluFunction:
    """The function itself, with the types that go with its arguments."""
    return cast(RReluFunction, function)


def _allowed_dtypes() -> str:
    return ", ".join(str(dtype) for dtype in schema.DTYPES)


def as_ndarray(value: ArrayLike, name: str) -> Array:
    """The value as an array. Raises InvalidTypeError for a ragged list, or what NumPy cannot read."""
    try:
        return np.asarray(value)
    except MemoryError:
        raise
    except Exception as error:  # __array__ of another library may raise anything
        raise InvalidTypeError(f"{name} is of type {type(value).__name__}, and no array: {error}") from error


def as_input(value: ArrayLike, name: str) -> Array:
    """The value as a C-contiguous, aligned array in native byte order; its dtype must be one of the four."""
    array = as_ndarray(value, name)
    if array.dtype in schema.DTYPES and array.flags.c_contiguous and array.flags.aligned:
        return array
    if array.dtype.newbyteorder("=") not in schema.DTYPES:
        raise InvalidTypeError(f"{name} has dtype {array.dtype}: it must be one of {_allowed_dtypes()}")
    return np.require(array, array.dtype.newbyteorder("="), ["C", "A"])


def as_gradient(dy: ArrayLike, saved: ArrayLike) -> tuple[Array, Array]:
    """dY and what a forward call saved: noise of its dtype and shape, or a reserve (uint8)."""
    gradient, array = as_input(dy, "dy"), as_ndarray(saved, "saved")
    if array.dtype == np.uint8:
        if array.ndim != 1:
            raise InvalidValueError(f"saved has shape {array.shape}: a reserve has one dimension")
        return gradient, np.ascontiguousarray(array)
    if array.dtype.newbyteorder("=") != gradient.dtype:
        raise InvalidTypeError(
            f"saved has dtype {array.dtype}: it must be {gradient.dtype}, as dy, or uint8, which is a reserve"
        )
    if array.shape != gradient.shape:
        raise InvalidValueError(f"saved has shape {array.shape}: it must be {gradient.shape}, as dy")
    return gradient, as_input(array, "saved")


def as_output(out: Array | None, x: Array) -> Array:
    """`out` checked against x, or a new array."""
    if out is None:
        return np.empty_like(x)
    if not isinstance(out, np.ndarray):
        raise InvalidTypeError(f"out is of type {type(out).__name__}: it must be a numpy.ndarray")
    if out.dtype != x.dtype:
        raise InvalidTypeError(f"out has dtype {out.dtype}: it must be {x.dtype}, as x")
    if out.shape != x.shape:
        raise InvalidValueError(f"out has shape {out.shape}: it must be {x.shape}, as x")
    if not out.flags.writeable:
        raise InvalidValueError("out is read-only: it must be writeable")
    return out


def _as_int64(value: int, name: str, *, negative: bool) -> int:
    try:
        number = operator.index(value)
    except TypeError as error:
        raise InvalidTypeError(f"{name}={value!r} is not an integer") from error
    if not (-(2**63) if negative else 0) <= number < 2**63:
        raise InvalidValueError(f"{name}={number}: it must be from {'-2^63' if negative else 0} to 2^63 - 1")
    return number


def as_count(value: int, name: str, *, most: int = 2**63 - 1) -> int:
    """An integer from 1 to `most`; True is none."""
    if isinstance(value, bool | np.bool_):
        raise InvalidTypeError(f"{name}={value!r} is not an integer")
    number = _as_int64(value, name, negative=True)
    if not 1 <= number <= most:
        raise InvalidValueError(f"{name}={number}: it must be 1 or more, and at most {most}")
    return number


def as_seed(seed: int | None) -> int:
    """A seed from 0 to 2^63 - 1; None draws one from the operating system."""
    return int.from_bytes(os.urandom(8)) >> 1 if seed is None else _as_int64(seed, "seed", negative=False)


def as_step(step: int) -> int:
    """The 64 bits of a step, as the counter takes them; every int64 is allowed."""
    return _as_int64(step, "step", negative=True) & (2**64 - 1)


def as_steps(step: ArrayLike, shape: tuple[int, ...], name: str = "step") -> tuple[int, Array | None]:
    """The step of all of x; or 0, and those of its rows as an int64 array of two elements or more."""
    if type(step) is int:
        return _as_int64(step, name, negative=True), None
    array = as_ndarray(step, name)
    if array.ndim == 0:
        return _as_int64(cast("int", step), name, negative=True), None
    if not np.issubdtype(array.dtype, np.integer) or not np.can_cast(array.dtype, np.int64):
        raise InvalidTypeError(
            f"{name} is of type {array.dtype}: it must be an integer, or an array of int64"
        )
    if array.size != 1 and (not shape or array.shape != shape[:1]):
        raise InvalidValueError(f"{name} has shape {list(array.shape)}: {_allowed_steps(shape)}")
    if array.size < 2:
        return int(array.reshape(-1)[0]) if array.size else 0, None
    return 0, np.ascontiguousarray(array, np.int64)


def _allowed_steps(shape: Sequence[int]) -> str:
    rows = f", or shape [{shape[0]}], one for each row" if shape else ""
    return f"for x of shape {list(shape)} it must have one element{rows}"


def not_steps(dtype: Any, step: Sequence[int], shape: Sequence[int]) -> InvalidValueError:
    """The error for a `step` of torch that is of another type or shape than an x of `shape` allows."""
    return InvalidValueError(
        f"step has dtype {dtype} and shape {list(step)}: it must be int64, and {_allowed_steps(shape)}"
    )


def as_params(
    dtype: np.dtype[Any], lower: float, upper: float, training: bool, seed: int | None = None, step: int = 0
) -> library.Params:
    """The checked parameters of one draw; InvalidValueError and InvalidTypeError name the culprit."""
    trains = training if type(training) is bool else _as_mode(training)
    params = library.Params(schema.DTYPES[dtype], lower, upper, trains, as_seed(seed), as_step(step))
    library.check(params)
    return params


def _as_mode(training: Any) -> bool:
    # Not `in`: an array or a list has no hash.
    if not isinstance(training, np.bool_ | int | np.integer) or not 0 <= training <= 1:
        raise InvalidValueError(f"training={training!r}: it must be True or False")
    return bool(training)


def check_switch(name: str, value: Any) -> None:
    """Raise InvalidTypeError unless the value is True or False."""
    if not isinstance(value, bool):
        raise InvalidTypeError(f"{name}={value!r}: it must be True or False")


def check_step_input(value: Any) -> None:
    """Raise InvalidTypeError or InvalidValueError unless it is what exporters take: a bool, or "rows"."""
    if isinstance(value, str) and value != ROWS:
        raise InvalidValueError(f"step_input={value!r}: it must be True, False or {ROWS!r}")
    if not isinstance(value, bool | str):
        raise InvalidTypeError(f"step_input={value!r}: it must be True, False or {ROWS!r}")
