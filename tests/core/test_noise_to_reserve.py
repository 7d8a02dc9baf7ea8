"""graph.noise_to_reserve: 1 bit an element is kept for the backward pass instead of a number."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import onnx
import pytest

import ort_rrelu
from ort_rrelu.graph.nodes import our_nodes
from ort_rrelu.graph.reserves import noise_to_reserve

_HEAD = '<ir_version: 8, opset_import: ["": 17, "ort_rrelu": 1]>'


def _model(body: str, outputs: str = "float[n] y, float[n] dx") -> onnx.ModelProto:
    return onnx.parser.parse_model(f"{_HEAD}\nnet (float[n] x, float[n] dy) => ({outputs}) {{\n{body}\n}}")


_TRAIN = "y, noise = ort_rrelu.RRelu <lower = 0.125, upper = 0.3, training = 1, seed = 7> (x)\n"
_GRADIENT = "dx = ort_rrelu.RReluGrad (dy, noise)\n"


def _run(model: onnx.ModelProto) -> list[np.ndarray]:
    x, dy = np.random.default_rng(0).normal(size=(2, 1001)).astype(np.float32)
    outputs: list[np.ndarray] = ort_rrelu.InferenceSession(model.SerializeToString(), lower_eval=False).run(
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


_LAYERS, _ELEMENTS = 6, 1 << 22
# Runs the model on standard input twice and prints by how many MiB the process grew at most.
_PEAK = """
import re, sys, numpy as np, ort_rrelu
def peak():
    # Not ru_maxrss, which begins with the parent's.
    return int(re.search(r"VmHWM:\\s*(\\d+)", open("/proc/self/status").read())[1]) / 1024
session = ort_rrelu.InferenceSession(sys.stdin.buffer.read(), lower_eval=False)
feed = {name: np.ones(int(sys.argv[1]), np.float32) for name in ("x", "dy")}
before = peak()
for _ in range(2):
    session.run(["dx"], feed)
print(peak() - before)
"""


def _peak(model: onnx.ModelProto) -> float:
    command = [sys.executable, "-c", _PEAK, str(_ELEMENTS)]
    run = subprocess.run(command, input=model.SerializeToString(), capture_output=True, check=True)
    return float(run.stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_memory_between_forward_and_backward_shrinks() -> None:
    """Six layers of 4 M floats: what they keep for the backward pass goes from 96 MiB to 3."""
    rrelu = "ort_rrelu.RRelu <lower = 0.125, upper = 0.3, training = 1, seed = 7>"
    forward = "x0 = Identity (x)\n" + "".join(
        f"x{i + 1}, noise{i} = {rrelu} (x{i})\n" for i in range(_LAYERS)
    )
    backward = f"d{_LAYERS} = Add (dy, x{_LAYERS})\n" + "".join(
        f"d{i} = ort_rrelu.RReluGrad (d{i + 1}, noise{i})\n" for i in reversed(range(_LAYERS))
    )
    with_noise = _model(f"{forward}{backward}dx = Identity (d0)\n", "float[n] dx")
    with_reserve = onnx.ModelProto()
    with_reserve.CopyFrom(with_noise)
    assert noise_to_reserve(with_reserve) == _LAYERS
    peaks = _peak(with_noise), _peak(with_reserve)
    print(f"peak, MiB: {peaks[0]:.0f} with noise, {peaks[1]:.0f} with reserve")
    saved = _LAYERS * _ELEMENTS * (4 - 1 / 8) / 2**20
    assert peaks[0] - peaks[1] > 0.6 * saved
