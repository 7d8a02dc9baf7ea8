"""How far two arrays are apart: in value, and in bits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ort_rrelu.arguments import Array
from ort_rrelu.commands.values import is_extension

__all__ = ["Difference", "difference"]


@dataclass(frozen=True)
class Difference:
    """largest: of |a - b|; NaN where only one of two elements is one, None where a - b has no meaning.

    elements: how many elements have other bits, where any NaN equals any NaN; None for two dtypes or shapes.
    """

    largest: float | None
    elements: int | None

    def exceeds(self, tolerance: float) -> bool:
        """Are the arrays further apart than that? What cannot be compared is."""
        if self.largest is None:
            return self.elements != 0
        return not self.largest <= tolerance  # true for NaN


def difference(a: Array, b: Array) -> Difference:
    """Of two arrays of any dtypes and shapes."""
    if a.shape != b.shape:
        return Difference(None, None)
    elements = _unequal(a, b) if a.dtype == b.dtype else None
    if not (_is_number(a.dtype) and _is_number(b.dtype)):
        return Difference(None, elements)
    return Difference(_largest(a, b), elements)


def _is_number(dtype: np.dtype[Any]) -> bool:
    return dtype.kind in "biufc" or is_extension(dtype)


def _unequal(a: Array, b: Array) -> int:
    if not a.size:
        return 0
    if a.dtype.kind == "O":
        return int(np.count_nonzero(a != b))
    bits = [np.ascontiguousarray(x).reshape(-1).view(np.uint8).reshape(a.size, -1) for x in (a, b)]
    other = (bits[0] != bits[1]).any(axis=1)
    return int(np.count_nonzero(other & ~_both_nan(a, b).reshape(-1)))


def _both_nan(a: Array, b: Array) -> Array:
    if a.dtype.kind in "biu":
        return np.zeros(a.shape, bool)
    return np.asarray((a != a) & (b != b))  # np.isnan does not know all of ml_dtypes' types


def _largest(a: Array, b: Array) -> float:
    if not a.size:
        return 0.0
    if a.dtype.kind in "iu" and a.dtype == b.dtype:  # float64 would round those of 64 bits
        bits = np.dtype(f"u{a.dtype.itemsize}")
        upper, lower = (x.reshape(-1).view(bits) for x in (np.maximum(a, b), np.minimum(a, b)))
        return float((upper - lower).max())
    wide = [x.astype(np.complex128 if x.dtype.kind == "c" else np.float64) for x in (a, b)]
    with np.errstate(all="ignore"):  # infinities of one sign are no distance apart
        apart = np.abs(wide[0] - wide[1])
    return float(np.max(np.where((wide[0] == wide[1]) | _both_nan(*wide), 0.0, apart)))
