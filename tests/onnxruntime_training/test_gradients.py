"""Gradients of onnxruntime-training against NumPy, from the noise that the training model draws."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from onnx import TensorProto

import ort_rrelu
from ort_rrelu.training import load_artifacts
from tests.onnxruntime_training.networks import batch, convolutional, linear, make_artifacts

_DTYPES = {
    "float": (TensorProto.FLOAT, np.float32),
    "double": (TensorProto.DOUBLE, np.float64),
    "float16": (TensorProto.FLOAT16, np.float16),
    "bfloat16": (TensorProto.BFLOAT16, ml_dtypes.bfloat16),
}


def _gradients(state: Any) -> dict[str, np.ndarray]:
    return {name: np.array(parameter.grad) for name, parameter in state.parameters}


def _backward(
    x: np.ndarray, labels: np.ndarray, weights: dict[str, np.ndarray], noise: np.ndarray, dtype: Any
) -> tuple[float, dict[str, np.ndarray]]:
    """Loss and gradients of `linear` in double, but for the rounding of RRelu's two products to its type."""
    w = {name: value.astype(np.float64) for name, value in weights.items()}
    hidden = (x @ w["w0"] + w["b0"]).astype(np.float32).astype(dtype)
    active = (hidden * noise).astype(np.float64)
    logits = active @ w["w1"] + w["b1"]
    exponentials = np.exp(logits - logits.max(1, keepdims=True))
    probabilities = exponentials / exponentials.sum(1, keepdims=True)
    rows = np.arange(len(labels))
    loss = -np.log(probabilities[rows, labels]).mean()
    d_logits = probabilities.copy()
    d_logits[rows, labels] -= 1
    d_logits /= len(labels)
    d_active = (d_logits @ w["w1"].T).astype(np.float32).astype(dtype)
    d_hidden = (d_active * noise).astype(np.float64)
    gradients = {
        "w0": x.T @ d_hidden,
        "b0": d_hidden.sum(0),
        "w1": active.T @ d_logits,
        "b1": d_logits.sum(0),
    }
    return float(loss), gradients


@pytest.mark.parametrize(("element", "dtype"), _DTYPES.values(), ids=_DTYPES)
@pytest.mark.parametrize("bounds", [(1 / 8, 1 / 3), (-0.5, 2.0), (0.25, 0.25)], ids=str)
def test_gradients_equal_numpy(element: int, dtype: Any, bounds: tuple[float, float], tmp_path: Path) -> None:
    lower, upper = bounds
    model = linear(step=True, dtype=element, lower=lower, upper=upper)
    module, _, state = load_artifacts(make_artifacts(model, tmp_path))
    x, labels = batch(size=40)
    weights = {name: np.array(parameter.data) for name, parameter in state.parameters}
    for step in range(3):
        module.lazy_reset_grad()
        loss = float(module(x, np.array(step), labels))
        hidden = (x @ weights["w0"] + weights["b0"]).astype(dtype)
        # What the node draws is proved elsewhere to be the reference's for its seed and the step.
        noise = ort_rrelu.reference.rrelu(
            hidden, lower, upper, training=True, seed=7, step=step, return_noise=True
        )[1]
        expected_loss, expected = _backward(x, labels, weights, noise, dtype)
        tolerance = 2e-5 if np.dtype(dtype).itemsize >= 4 else 2e-2
        np.testing.assert_allclose(loss, expected_loss, rtol=tolerance)
        for name, gradient in _gradients(state).items():
            np.testing.assert_allclose(gradient, expected[name], rtol=tolerance, atol=tolerance)


def test_gradients_from_the_noise_that_the_training_model_gives(tmp_path: Path) -> None:
    """Without a seed nobody knows the slopes but the noise output."""
    folder = make_artifacts(linear(seed=-1, noise="noise"), tmp_path, additional_output_names=["noise"])
    module, _, state = load_artifacts(folder)
    x, labels = batch(size=40)
    weights = {name: np.array(parameter.data) for name, parameter in state.parameters}
    drawn = []
    for _ in range(2):
        module.lazy_reset_grad()
        loss, noise = module(x, labels)
        drawn.append(noise)
        expected_loss, expected = _backward(x, labels, weights, noise, np.float32)
        np.testing.assert_allclose(float(loss), expected_loss, rtol=2e-5)
        for name, gradient in _gradients(state).items():
            np.testing.assert_allclose(gradient, expected[name], rtol=2e-5, atol=2e-5)
    assert (drawn[0] != drawn[1]).any()


_IMAGES: dict[str, tuple[int | str, ...]] = {"named batch": ("batch", 1, 6, 6), "fixed": (6, 1, 6, 6)}
_POOLINGS = [
    *((op, image) for op in ("MaxPool", "GlobalAveragePool", "Identity") for image in _IMAGES),
    ("AveragePool", "fixed"),
]


@pytest.mark.parametrize("first", [True, False], ids=["before", "after"])
@pytest.mark.parametrize(("pooling", "image"), _POOLINGS)
def test_directional_derivatives_through_convolutions(
    pooling: str, image: str, first: bool, tmp_path: Path
) -> None:
    folder = make_artifacts(
        convolutional(pooling, first=first, image=_IMAGES[image]), tmp_path, optimizer=None
    )
    x, labels = batch(shape=(1, 6, 6))
    module, _, state = load_artifacts(folder)
    module(x, labels)
    gradients = _gradients(state)

    def loss_at(distance: float, directions: dict[str, np.ndarray]) -> float:
        """Of a new module, whose first run draws the same slopes."""
        moved, _, its_state = load_artifacts(folder)
        for name, parameter in its_state.parameters:
            its_state.parameters[name] = parameter.data + np.float32(distance) * directions[name]
        return float(moved(x, labels))

    rng, distance = np.random.default_rng(0), 2e-3
    directions = {name: rng.normal(size=g.shape).astype(np.float32) for name, g in gradients.items()}
    slope = (loss_at(distance, directions) - loss_at(-distance, directions)) / (2 * distance)
    expected = sum(float((gradients[name] * d).sum()) for name, d in directions.items())
    assert slope == pytest.approx(expected, rel=0.05, abs=2e-3)
