"""Tensors as the verbs need them: those of ort_rrelu.tensors, and what the tables say of one."""

from __future__ import annotations

import numpy as np

from ort_rrelu.arguments import Array
from ort_rrelu.tensors import as_array, as_ort_value, element_dtype, is_extension

__all__ = ["as_array", "as_ort_value", "element_dtype", "is_extension", "statistics"]


def statistics(array: Array) -> dict[str, float | None]:
    """min, mean and max, each None for an empty tensor and for one that holds no real numbers."""
    wide = array.astype(np.float32) if is_extension(array.dtype) else array
    if not wide.size or wide.dtype.kind not in "biuf":
        return dict.fromkeys(("min", "mean", "max"))
    with np.errstate(all="ignore"):  # infinities of both signs have the mean NaN, silently
        return {
            "min": wide.min().item(),
            "mean": wide.mean(dtype=np.float64).item(),
            "max": wide.max().item(),
        }
