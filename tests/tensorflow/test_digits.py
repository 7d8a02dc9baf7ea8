"""A Keras network with RReLU that was trained on digits, exported, and run in ONNX Runtime."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import onnx
import pytest

import ort_rrelu
from models.digits.dataset import Digits, load
from ort_rrelu.reference import derive_seed
from tests.fusing import ops, values_of, without_library
from tests.onnx_models import Array
from tests.tensorflow.networks import LOWER, UPPER, digits_network, spec

_SPEC = [spec(None, 8, 8, 1)]


@pytest.fixture(scope="module")
def digits() -> Digits:
    return load(np.random.default_rng(0).permutation)


@pytest.fixture(scope="module")
def net(digits: Digits) -> Any:
    network = digits_network()
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    network.compile("adam", loss)
    network.fit(_images(digits.train_images), digits.train_labels, epochs=8, batch_size=32, verbose=0)
    return network


def _images(images: Array) -> Array:
    """In TensorFlow's order of dimensions."""
    return np.ascontiguousarray(images.transpose(0, 2, 3, 1))


def _trained(net: Any, **options: Any) -> onnx.ModelProto:
    return ort_rrelu.tensorflow.export(lambda x: net(x, training=True), None, _SPEC, **options)


def test_eval_mode_is_that_of_tensorflow(net: Any, digits: Digits) -> None:
    model = ort_rrelu.tensorflow.export(net)
    assert ops(model).count("LeakyRelu") == 2
    x = _images(digits.test_images)
    expected = net.predict(x, verbose=0)
    for found in (without_library(model, x)[0], _run(model, x)):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
        assert (found.argmax(1) == digits.test_labels).mean() > 0.95


def _run(model: onnx.ModelProto, x: Array) -> Array:
    return np.asarray(ort_rrelu.InferenceSession(model.SerializeToString()).run(None, {"x": x})[0])


def test_train_mode_classifies(net: Any, digits: Digits) -> None:
    model = _trained(net, seed=1)
    assert [values["seed"] for values in values_of(model)] == [derive_seed(1, 0), derive_seed(1, 1)]
    x = _images(digits.test_images)
    found = _run(model, x)
    assert (found.argmax(1) == digits.test_labels).mean() > 0.9
    np.testing.assert_array_equal(_run(model, x), found)  # a new session with the same seeds
    assert (_run(_trained(net, seed=2), x) != found).any()


def test_train_mode_set_to_eval_is_eval_mode(net: Any, digits: Digits) -> None:
    x = _images(digits.test_images)
    found = _run(_trained(net, training=False), x)
    np.testing.assert_allclose(found, net.predict(x, verbose=0), rtol=1e-4, atol=1e-4)


def test_slopes_are_uniform_and_those_of_each_layer_its_own(net: Any, digits: Digits) -> None:
    first, last = _slopes_of_layers(net, _images(digits.test_images), runs=2)
    for slopes in (first, last):
        for of_one_run in slopes:
            drawn = of_one_run[np.isfinite(of_one_run)]
            assert drawn.size > 10_000
            assert drawn.min() > LOWER - 1e-5 and drawn.max() < UPPER + 1e-5
            assert _distance_from_uniform(drawn) < 2 / np.sqrt(
                drawn.size
            )  # Kolmogorov: one in 1,500 is above
    for one, other in ((first[0], last[0]), (first[0], first[1]), (last[0], last[1])):
        both = np.isfinite(one) & np.isfinite(other)
        assert abs(np.corrcoef(one[both], other[both])[0, 1]) < 4.5 / np.sqrt(both.sum())


def _slopes_of_layers(net: Any, x: Array, runs: int) -> list[Array]:
    """For each layer and run the slope of each element that leaks, NaN for the others."""
    layers = [layer for layer in net.layers if type(layer).__name__ == "RReLU"]
    watched = keras.Model(net.inputs, [tensor for layer in layers for tensor in (layer.input, layer.output)])
    model = ort_rrelu.tensorflow.export(lambda x: watched(x, training=True), None, _SPEC, seed=3)
    assert ops(model).count("RRelu") == 2
    session = ort_rrelu.InferenceSession(model.SerializeToString())
    slopes: list[list[Array]] = [[] for _ in layers]
    for _ in range(runs):
        values = [np.asarray(value) for value in session.run(None, {"x": x})]
        for place, (before, after) in enumerate(zip(values[::2], values[1::2], strict=True)):
            leaks = before < -1e-3  # the rounding of smaller ones would show
            slopes[place].append(np.where(leaks, after / np.where(leaks, before, 1), np.nan))
    return [np.stack(each) for each in slopes]


def _distance_from_uniform(drawn: Array) -> float:
    expected = (np.sort(drawn) - LOWER) / (UPPER - LOWER)
    return float(np.abs(expected - (np.arange(drawn.size) + 0.5) / drawn.size).max())
