"""One draw of slopes, computed in three ways that must agree to the last bit, and values to try them on."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np
import onnx
import onnxruntime

import ort_rrelu
from ort_rrelu import reference, schema
from tests.models import DTYPES, Array, rrelu_model, run, session, step_of

__all__ = ["Draw", "by_numpy", "by_onnx_runtime", "by_reference", "special_values"]


@dataclass(frozen=True)
class Draw:
    lower: float = schema.LOWER
    upper: float = schema.UPPER
    training: bool = True
    seed: int = 42
    step: int = 3


def by_reference(x: Array, draw: Draw) -> tuple[Array, Array]:
    """Y and noise from the specification in code."""
    return reference.rrelu(
        x, draw.lower, draw.upper, draw.training, seed=draw.seed, step=draw.step, return_noise=True
    )


def by_numpy(x: Array, draw: Draw) -> tuple[Array, Array]:
    """Y and noise from the NumPy front end, which calls the kernels through the C API."""
    return ort_rrelu.rrelu(
        x, draw.lower, draw.upper, draw.training, seed=draw.seed, step=draw.step, return_noise=True
    )


# Keyed by the model: draws are equal where one has 0.0 and the other -0.0 for a bound.
@functools.lru_cache(maxsize=64)
def _session(model: bytes, threads: int) -> onnxruntime.InferenceSession:
    return session(onnx.load_model_from_string(model), threads=threads)


def by_onnx_runtime(x: Array, draw: Draw, *, threads: int = 1) -> tuple[Array, Array]:
    """Y and noise from a session, which draws that differ in their step alone share."""
    model = rrelu_model(
        schema.DTYPES[x.dtype],
        with_step=True,
        lower=draw.lower,
        upper=draw.upper,
        training=int(draw.training),
        seed=draw.seed,
    )
    y, noise = run(_session(model.SerializeToString(), threads), x, step_of(draw.step))
    return y, noise


_finfo: Callable[[np.dtype[Any]], Any] = ml_dtypes.finfo  # numpy's does not know bfloat16


def special_values(dtype: int) -> Array:
    """Zeros, subnormals, the smallest normal, the largest finite, infinities and NaN, of both signs."""
    info = _finfo(DTYPES[dtype])
    tiny = info.smallest_subnormal
    values = [0.0, tiny, tiny * 3, info.tiny, 0.3, 1.0, info.max, math.inf, math.nan]
    return np.array([[value, -value] for value in values], DTYPES[dtype])
