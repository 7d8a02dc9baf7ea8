"""One draw of slopes, computed in three ways that must agree to the last bit."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import onnx
import onnxruntime

import ort_rrelu
from ort_rrelu import reference, schema
from tests.models import Array, rrelu_model, run, session, step_of

__all__ = ["Draw", "by_numpy", "by_onnx_runtime", "by_reference"]


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
def _session(model: bytes, threads: int, flush_denormals: bool) -> onnxruntime.InferenceSession:
    config = {"session.set_denormal_as_zero": "1"} if flush_denormals else {}
    return session(onnx.load_model_from_string(model), threads=threads, config=config)


def by_onnx_runtime(
    x: Array, draw: Draw, *, threads: int = 1, flush_denormals: bool = False
) -> tuple[Array, Array]:
    """Y and noise from a session, which draws that differ in their step alone share."""
    model = rrelu_model(
        schema.DTYPES[x.dtype],
        with_step=True,
        lower=draw.lower,
        upper=draw.upper,
        training=int(draw.training),
        seed=draw.seed,
    )
    y, noise = run(_session(model.SerializeToString(), threads, flush_denormals), x, step_of(draw.step))
    return y, noise
