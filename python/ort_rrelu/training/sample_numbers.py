"""The steps of a batch's samples: counted on, or given by the caller and checked."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from ort_rrelu.arguments import Array, as_ndarray, as_steps
from ort_rrelu.errors import InvalidValueError

_END = 2**63


def counted(first: int, rows: int) -> Array:
    """first, first + 1, ...: one for each row. Raises InvalidValueError where they are no int64 any more."""
    if first + rows > _END:
        raise InvalidValueError(
            f"next_sample={first}: counted steps end at 2^63 - 1, and the batch has {rows} rows: give it its "
            "steps (step=)"
        )
    return np.arange(rows, dtype=np.int64) + np.int64(min(first, _END - 1))


def given(step: ArrayLike, rows: int) -> Array:
    """The caller's steps as int64 [rows]. Raises InvalidTypeError, InvalidValueError for others."""
    array = as_ndarray(step, "step")
    if array.shape != (rows,):
        raise InvalidValueError(
            f"step has shape {list(array.shape)}: it must be [{rows}], a number for each row of x"
        )
    one, several = as_steps(array, array.shape)
    return np.array([one], np.int64) if several is None else several


def next_after(before: int, steps: Array) -> int:
    """The next number to count on with: above all that were drawn with."""
    return max(before, int(steps.max()) + 1)
