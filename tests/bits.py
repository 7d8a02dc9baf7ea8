"""Equality to the last bit, a NaN being equal to any NaN."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def bits(array: NDArray[Any]) -> NDArray[Any]:
    """The bits of an array as unsigned integers, every NaN mapped to one pattern."""
    if array.dtype == np.uint8:
        return array
    quiet = np.where(np.isnan(array), array.dtype.type("nan"), array)
    return quiet.view(f"u{array.dtype.itemsize}")


def assert_same_bits(actual: Any, expected: NDArray[Any]) -> None:
    """Same dtype, shape and bits; names the first element that differs."""
    actual = np.asarray(actual)
    assert (actual.dtype, actual.shape) == (expected.dtype, expected.shape)
    different = np.flatnonzero(bits(actual) != bits(expected))
    if different.size:
        first = different[0]
        raise AssertionError(
            f"{different.size} of {actual.size} elements differ, the first at {first}: "
            f"{actual.flat[first]!r} is not {expected.flat[first]!r}"
        )
