"""The files are those of the same network with LeakyRelu, but for the activation: so their speed is."""

from __future__ import annotations

import keras
import onnx
import pytest

import ort_rrelu
from tests.fusing import ops, values_of
from tests.tensorflow.networks import LOWER, UPPER, RReLU, convolutions
from tests.tensorflow.speed import as_onnx_runtime_runs, as_tf2onnx_writes


def _small(**options: object) -> onnx.ModelProto:
    return ort_rrelu.tensorflow.export(convolutions(lambda: RReLU(**options), size=8, channels=4))  # type: ignore[arg-type]


def test_eval_mode_runs_as_a_network_with_leaky_relu() -> None:
    leaky = convolutions(lambda: keras.layers.LeakyReLU((LOWER + UPPER) / 2), size=8, channels=4)
    expected = as_onnx_runtime_runs(as_tf2onnx_writes(leaky))
    assert as_onnx_runtime_runs(_small()) == expected
    assert expected["Transpose"] <= 2
    alphas = [node.attribute[0].f for node in _small().graph.node if node.op_type == "LeakyRelu"]
    assert alphas == [pytest.approx((LOWER + UPPER) / 2)] * 4


def test_train_mode_differs_by_its_nodes_alone() -> None:
    made = _small(mode=True)
    found = as_onnx_runtime_runs(made)
    assert found["RRelu"] == 4 and found["Transpose"] <= 2 and not {"Cast", "Not", "Where"} & found.keys()
    assert len({values["seed"] for values in values_of(made)}) == 4


def test_tf2onnx_alone_writes_many_more() -> None:
    """Where it does not any more, docs/tensorflow.md tells of what was."""
    plain = as_tf2onnx_writes(convolutions(RReLU, size=8, channels=4))
    assert ops(plain).count("Transpose") == 12
    assert {"Mul": 12, "Cast": 8}.items() <= as_onnx_runtime_runs(plain).items()
    drawing = as_tf2onnx_writes(convolutions(lambda: RReLU(mode=True), size=8, channels=4))
    assert {"Transpose": 14, "Cast": 16}.items() <= as_onnx_runtime_runs(drawing).items()
