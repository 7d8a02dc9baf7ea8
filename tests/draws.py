"""One draw of slopes, computed in three ways that must agree to the last bit, and values to try them on."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np
import onnx
import onnxruntime

import ort_rrelu
from ort_rrelu import reference, schema
from tests.bits import assert_same_bits
from tests.onnx_models import DTYPES, Array, rrelu_model, run, session, step_of


@dataclass(frozen=True)
class Draw:
    lower: float = schema.LOWER
    upper: float = schema.UPPER
    training: bool = True
    seed: int = 42
    step: Any = 3  # an integer, or an array with one for each row

    @property
    def arguments(self) -> dict[str, Any]:
        """As the functions on arrays take it."""
        return asdict(self)


class Outputs(NamedTuple):
    y: Array
    noise: Array
    reserve: Array


def assert_same_outputs(actual: Iterable[Array], expected: Outputs) -> None:
    """All three to the last bit."""
    for a, b in zip(actual, expected, strict=True):
        assert_same_bits(a, b)


def by_reference(x: Array, draw: Draw) -> Outputs:
    """From the specification in code."""
    return Outputs(*reference.rrelu(x, return_noise=True, return_reserve=True, **draw.arguments))


def by_numpy(x: Array, draw: Draw) -> Outputs:
    """From the NumPy front end, which calls the kernels through the C API."""
    return Outputs(*ort_rrelu.rrelu(x, return_noise=True, return_reserve=True, **draw.arguments))


# Keyed by the model: draws are equal where one has 0.0 and the other -0.0 for a bound.
@functools.lru_cache(maxsize=64)
def _session(model: bytes, threads: int) -> onnxruntime.InferenceSession:
    return session(onnx.load_model_from_string(model), threads=threads)


def by_onnx_runtime(x: Array, draw: Draw, *, threads: int = 1) -> Outputs:
    """From a session, which draws that differ in their step alone share."""
    model = rrelu_model(
        schema.DTYPES[x.dtype],
        outputs=Outputs._fields,
        with_step=True,
        lower=draw.lower,
        upper=draw.upper,
        training=int(draw.training),
        seed=draw.seed,
    )
    return Outputs(*run(_session(model.SerializeToString(), threads), x, step_of(draw.step)))


def normal(shape: tuple[int, ...], dtype: int, *, seed: int = 7) -> Array:
    """Normally distributed values."""
    return np.asarray(np.random.default_rng(seed).normal(size=shape)).astype(DTYPES[dtype])


_finfo: Callable[[np.dtype[Any]], Any] = ml_dtypes.finfo  # numpy's does not know bfloat16


def special_values(dtype: int) -> Array:
    """Zeros, subnormals, the smallest normal, the largest finite, infinities and NaN, of both signs."""
    info = _finfo(DTYPES[dtype])
    tiny = info.smallest_subnormal
    values = [0.0, tiny, tiny * 3, info.tiny, 0.3, 1.0, info.max, math.inf, math.nan]
    return np.array([[value, -value] for value in values], DTYPES[dtype])
