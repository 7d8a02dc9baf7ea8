"""graph.noise_to_reserve: 1 bit an element is kept for the backward pass instead of a number."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

import ort_rrelu
from ort_rrelu.graph.nodes import our_nodes
from ort_rrelu.graph.noise_to_reserve import noise_to_reserve

_HEAD = '<ir_version: 8, opset_import: ["": 17, "ort_rrelu": 1]>'


def _model(body: str, outputs: str = "float[n] y, float[n] dx") -> onnx.ModelProto:
    return onnx.parser.parse_model(f"{_HEAD}\nnet (float[n] x, float[n] dy) => ({outputs}) {{\n{body}\n}}")


_TRAIN = "y, noise = ort_rrelu.RRelu <lower = 0.125, upper = 0.3, training = 1, seed = 7> (x)\n"
_GRADIENT = "dx = ort_rrelu.RReluGrad (dy, noise)\n"


def _run(model: onnx.ModelProto) -> list[np.ndarray]:
    x, dy = np.random.default_rng(0).normal(size=(2, 1001)).astype(np.float32)
    outputs: list[np.ndarray] = ort_rrelu.InferenceSession(model.SerializeToString()).run(
        None, {"x": x, "dy": dy}
    )
    return outputs


def test_the_gradient_keeps_its_bits() -> None:
    model = _model(_TRAIN + _GRADIENT)
    before = _run(model)
    assert noise_to_reserve(model) == 1
    (rrelu,) = our_nodes(model)
    assert list(rrelu.output) == ["y", "", "y_reserve"]
    for expected, actual in zip(before, _run(model), strict=True):
        np.testing.assert_array_equal(expected, actual)


@pytest.mark.parametrize(
    ("body", "outputs"),
    [
        pytest.param(_TRAIN + _GRADIENT, "float[n] y, float[n] dx, float[n] noise", id="output"),
        pytest.param(
            _TRAIN + _GRADIENT + "z = Neg (noise)", "float[n] y, float[n] dx, float[n] z", id="read"
        ),
        pytest.param(
            _TRAIN + "dx = ort_rrelu.RReluGrad (noise, noise)\n", "float[n] y, float[n] dx", id="as dy"
        ),
        pytest.param(
            _TRAIN.replace("training = 1", "training = 0") + _GRADIENT, "float[n] y, float[n] dx", id="eval"
        ),
        pytest.param(_TRAIN + "dx = Identity (dy)\n", "float[n] y, float[n] dx", id="not read"),
        pytest.param(
            _TRAIN
            + _GRADIENT
            + "yes = Constant <value = bool {1}> ()\nz = If (yes) <"
            + "then_branch = t () => (float[n] a) { a = Neg (noise) }, "
            + "else_branch = e () => (float[n] b) { b = Neg (dy) }>",
            "float[n] y, float[n] dx, float[n] z",
            id="read in a body",
        ),
    ],
)
def test_noise_that_is_needed_stays(body: str, outputs: str) -> None:
    model = _model(body, outputs)
    before = model.SerializeToString()
    assert noise_to_reserve(model) == 0
    assert model.SerializeToString() == before


def test_several_gradients_share_one_reserve() -> None:
    model = _model(
        _TRAIN + "a = ort_rrelu.RReluGrad (dy, noise)\n dx = ort_rrelu.RReluGrad (a, noise)\n",
    )
    before = _run(model)
    assert noise_to_reserve(model) == 1
    np.testing.assert_array_equal(before[1], _run(model)[1])
