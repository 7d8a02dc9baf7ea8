"""What generate_artifacts refuses, with which words, and that it leaves nothing behind."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import ort_rrelu
from ort_rrelu.errors import ConversionError, Error, InvalidTypeError, InvalidValueError, ModelFileError
from tests.onnxruntime_training.networks import batch, convolutional, linear, make_artifacts, model_of, rrelu

_RRELU = 'ort_rrelu:RRelu node with output "a_cast"'


def _with(change: Callable[[onnx.ModelProto], object]) -> onnx.ModelProto:
    model = linear()
    change(model)
    return model


def _through(op: str, opset: int = 18) -> onnx.ModelProto:
    weights = {"w0": np.ones((4, 3), np.float32)}
    nodes = [
        helper.make_node("MatMul", ["x", "w0"], ["h"]),
        rrelu("h", "a"),
        helper.make_node(op, ["a"], ["logits"], "my_node"),
    ]
    return model_of(nodes, weights, opset=opset)


def _in_a_body() -> onnx.ModelProto:
    branch = helper.make_graph(
        [rrelu("h", "inner")], "body", [], [helper.make_tensor_value_info("inner", TensorProto.FLOAT, None)]
    )
    nodes = [
        helper.make_node("MatMul", ["x", "w0"], ["h"]),
        helper.make_node("Constant", [], ["c"], value=helper.make_tensor("", TensorProto.BOOL, [], [True])),
        helper.make_node("If", ["c"], ["logits"], then_branch=branch, else_branch=branch),
    ]
    return model_of(nodes, {"w0": np.ones((4, 3), np.float32)})


def _shapeless(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.ClearField("shape")


def _double_loss() -> onnx.ModelProto:
    model = linear()
    model.graph.node.append(helper.make_node("Cast", ["logits"], ["wide"], to=TensorProto.DOUBLE))
    model.graph.output[0].name = "wide"
    model.graph.output[0].type.tensor_type.elem_type = TensorProto.DOUBLE
    return model


_BAD_MODELS: dict[str, tuple[Callable[[], onnx.ModelProto], type[Exception], str]] = {
    "eval mode": (
        lambda: linear(training=0),
        InvalidValueError,
        f"{_RRELU} and all other RRelu nodes are in",
    ),
    "bad bounds": (
        lambda: linear(lower=0.5, upper=0.25),
        InvalidValueError,
        f"{_RRELU}: lower=0.5 is greater than upper=0.25",
    ),
    "misspelt": (lambda: linear(trainning=1), InvalidValueError, f"{_RRELU}: unknown attribute 'trainning'"),
    "newer opset": (lambda: _through("Relu", 22), InvalidValueError, "the model has opset 22: .* up to 21"),
    "no gradient": (
        lambda: _through("Mish"),
        ConversionError,
        'Mish node "my_node": it lies between .* 1.19.2 has no gradient for Mish',
    ),
    "in a body": (_in_a_body, InvalidValueError, 'RRelu node with output "inner" is in the body of a'),
    "no shape": (lambda: _with(_shapeless), InvalidValueError, "the shape of input 'x' is not known"),
    "invalid": (
        lambda: _with(lambda m: m.graph.node[0].input.__setitem__(0, "missing")),
        InvalidValueError,
        "the model is not valid: .*Gemm",
    ),
    "double loss": (_double_loss, InvalidValueError, "loss: 'wide' is of type DOUBLE"),
    "batch normalization": (
        lambda: convolutional("BatchNormalization", first=True),
        InvalidValueError,
        'BatchNormalization node with output "pooled": .* wrong gradients .*export_step',
    ),
    "max pool of any height": (
        lambda: convolutional("MaxPool", first=True, image=("b", 1, None, None)),
        InvalidValueError,
        "MaxPool node .* dimensions of its input 'conv' are not fixed",
    ),
    "average pool of any batch": (
        lambda: convolutional("AveragePool", first=False),
        InvalidValueError,
        "AveragePool node .* dimensions of its input 'active' are not fixed",
    ),
}

_WEIGHTS = r"its float weights are 'w0', 'b0', 'w1', 'b1'"
_BAD_ARGUMENTS: dict[str, tuple[dict[str, Any], type[Exception], str]] = {
    "nothing to train": ({"requires_grad": []}, InvalidValueError, f"requires_grad names no .*: {_WEIGHTS}"),
    "no requires_grad": (
        {"requires_grad": None},
        InvalidValueError,
        f"requires_grad names no .*: {_WEIGHTS}",
    ),
    "unknown name": ({"requires_grad": ["w9"]}, InvalidValueError, f"no weight 'w9': {_WEIGHTS}"),
    "unknown frozen": (
        {"frozen_params": ["w9"]},
        InvalidValueError,
        "frozen_params: the model has no weight 'w9'",
    ),
    "input to train": (
        {"requires_grad": ["x"]},
        InvalidValueError,
        "requires_grad: the model has no weight 'x'",
    ),
    "both": ({"frozen_params": ["w0"]}, InvalidValueError, "'w0' is in requires_grad and in frozen_params"),
    "a string": ({"requires_grad": "w0"}, InvalidTypeError, "requires_grad='w0': it must be a sequence"),
    "a number": ({"requires_grad": 3}, InvalidTypeError, "requires_grad=3: it must be a sequence"),
    "numbers": ({"frozen_params": [3]}, InvalidTypeError, r"frozen_params=\[3\]: it must be a sequence"),
    "unknown output": (
        {"additional_output_names": ["hidden"]},
        InvalidValueError,
        "additional_output_names: the model has no value 'hidden'; its outputs are 'logits'",
    ),
    "unknown loss input": (
        {"loss_input_names": ["y"]},
        InvalidValueError,
        "loss_input_names: .* no value 'y'",
    ),
    "not a loss": ({"loss": "mse"}, ConversionError, "Unknown loss provided"),
    "not an optimizer": ({"optimizer": "adam"}, ConversionError, "Unknown optimizer provided"),
    "logits as loss": (
        {"loss": None},
        InvalidValueError,
        "loss=None: .* 'logits' .* must be a single element",
    ),
    "folder in prefix": ({"prefix": "a/b"}, InvalidValueError, "prefix='a/b'"),
    "no such file": ({"model": "/none/m.onnx"}, ModelFileError, "no model file /none/m.onnx"),
    "no model": ({"model": 3}, InvalidTypeError, "model is of type int"),
}


@pytest.mark.parametrize(("make", "kind", "message"), _BAD_MODELS.values(), ids=_BAD_MODELS)
def test_bad_model(
    make: Callable[[], onnx.ModelProto], kind: type[Exception], message: str, tmp_path: Path
) -> None:
    with pytest.raises(kind, match=message) as caught:
        make_artifacts(make(), tmp_path / "made")
    assert isinstance(caught.value, Error)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("arguments", "kind", "message"), _BAD_ARGUMENTS.values(), ids=_BAD_ARGUMENTS)
def test_bad_argument(arguments: dict[str, Any], kind: type[Exception], message: str, tmp_path: Path) -> None:
    with pytest.raises(kind, match=message) as caught:
        make_artifacts(linear(), tmp_path / "made", **arguments)
    assert isinstance(caught.value, Error)
    assert not list(tmp_path.iterdir())


_WITHOUT = """
import sys
sys.modules[{name!r}] = None
import ort_rrelu.training
try:
    ort_rrelu.training.load_artifacts(".")
except ort_rrelu.Error as error:
    print(type(error).__name__, error)
"""


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("torch", "onnxruntime-training imports torch, which is not installed: any version will do"),
        ("onnxruntime.training", "pip install onnxruntime-training-cpu==1.19.2"),
        ("onnxruntime", "onnxruntime-training-cpu is not installed: pip install onnxruntime-training-cpu=="),
    ],
)
def test_a_missing_package(name: str, message: str) -> None:
    command = [sys.executable, "-c", _WITHOUT.format(name=name)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=True)
    assert done.stdout.startswith("MissingPackageError")
    assert message in done.stdout


def test_a_model_that_is_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ort_rrelu.training.preparation._LARGEST", 100)
    with pytest.raises(InvalidValueError, match=r"weights have \d+ bytes: it must fit into .* of 100"):
        make_artifacts(linear(), tmp_path / "made")


def test_batch_normalization_that_no_gradient_passes_is_allowed(tmp_path: Path) -> None:
    model = convolutional("BatchNormalization", first=True)
    make_artifacts(model, tmp_path, requires_grad=["w1"])
    assert (tmp_path / "training_model.onnx").exists()


def test_artifacts_that_are_there_stay_when_new_ones_fail(tmp_path: Path) -> None:
    make_artifacts(linear(), tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(ConversionError):
        make_artifacts(_through("Mish"), tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_file_that_upstream_would_delete_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    onnx.save(linear(), "temp.onnx")
    with pytest.raises(InvalidValueError, match=f"{re.escape(str(tmp_path))}/temp.onnx would be deleted"):
        make_artifacts(linear(), tmp_path / "made")
    assert [path.name for path in tmp_path.iterdir()] == ["temp.onnx"]


@pytest.mark.parametrize("place", ["file", "none/made"])
def test_a_place_that_is_no_folder(place: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=f"artifact_directory={re.escape(str(tmp_path / place))}"):
        make_artifacts(linear(), tmp_path / place)


_BAD_BATCHES = {
    "features": (lambda x, y: (x[:, :3].copy(), y), "(?s)x.*index: 1 Got: 3 Expected: 4"),
    "dimensions": (lambda x, y: (x[None], y), "Invalid rank for input: x Got: 3 Expected: 2"),
    "type": (
        lambda x, y: (x.astype(np.float64), y),
        r"Actual: \(tensor\(double\)\) , expected: \(tensor\(float",
    ),
    "number": (lambda x, y: (x,), "feed"),
    "labels": (lambda x, y: (x, y[:2]), "SoftmaxCrossEntropyLoss"),
}


@pytest.mark.parametrize(("change", "message"), _BAD_BATCHES.values(), ids=_BAD_BATCHES)
def test_a_batch_that_does_not_fit_is_refused_and_training_goes_on(
    change: Any, message: str, tmp_path: Path
) -> None:
    module, update, _ = ort_rrelu.training.load_artifacts(make_artifacts(linear(), tmp_path))
    with pytest.raises(RuntimeError, match=message):
        module(*change(*batch()))
    assert float(module(*batch())) > 0
    update.step()
