"""Numbers of a configuration, checked where an activation is built."""

from __future__ import annotations

import math
from numbers import Real

from ort_rrelu.errors import InvalidTypeError, InvalidValueError


def as_finite(value: float, name: str, above: float = -math.inf) -> float:
    """The value as a float; InvalidTypeError or InvalidValueError unless it is finite and > above."""
    if not isinstance(value, Real) or isinstance(value, bool):
        raise InvalidTypeError(f"{name}={value!r}: it must be a number")
    if not math.isfinite(value) or value <= above:
        limit = "" if above == -math.inf else f" and greater than {above:g}"
        raise InvalidValueError(f"{name}={value!r}: it must be finite{limit}")
    return float(value)
