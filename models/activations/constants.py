"""The numbers of activations: checked where one is built, and as tensors in its formula."""

from __future__ import annotations

import math
from numbers import Real

from torch import Tensor

from ort_rrelu.errors import InvalidTypeError, InvalidValueError


def as_finite(value: float, name: str, above: float = -math.inf) -> float:
    """The value as a float; InvalidTypeError or InvalidValueError unless it is finite and > above."""
    if not isinstance(value, Real) or isinstance(value, bool):
        raise InvalidTypeError(f"{name}={value!r}: it must be a number")
    if not math.isfinite(value) or value <= above:
        limit = "" if above == -math.inf else f" and greater than {above:g}"
        raise InvalidValueError(f"{name}={value!r}: it must be finite{limit}")
    return float(value)


def constant(value: float, x: Tensor) -> Tensor:
    """The value as a tensor of no dimension, in x's dtype, on x's device.

    torch's default exporter keeps 24 bits of a Python number, also beside float64 (torch 2.13).
    """
    return x.new_tensor(value)
