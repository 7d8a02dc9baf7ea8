"""translation_table and torchscript_symbolics, used directly with torch.onnx.export."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import onnx
import pytest
import torch
from onnxscript import opset18
from torch import nn

import ort_rrelu.torch
from ort_rrelu import reference
from ort_rrelu.torch import RReLU, torchscript_symbolics, translation_table
from tests.bits import assert_same_bits
from tests.onnx_models import run, session
from tests.torch.arrays import array
from tests.torch.constructs import Parallel
from tests.torch.exports import X, drawn_by_torch, node_attributes, train_seeds

pytestmark = pytest.mark.filterwarnings("ignore")  # torch's advice


def _module() -> nn.Module:
    return Parallel(nn.RReLU(), RReLU(0.2, 0.4)).train()


def _by_dynamo(module: nn.Module, **kw: Any) -> onnx.ModelProto:
    program = torch.onnx.export(
        module, (X,), dynamo=True, verbose=False, custom_translation_table=translation_table(**kw)
    )
    assert program is not None
    return program.model_proto


def _by_torchscript(module: nn.Module, folder: Path) -> onnx.ModelProto:
    """With the TorchScript exporter and the symbolics that are registered at the time."""
    torch.onnx.export(
        module, (X,), folder / "model.onnx", dynamo=False, training=torch.onnx.TrainingMode.PRESERVE
    )
    return onnx.load(folder / "model.onnx")


def _ops(model: onnx.ModelProto) -> set[str]:
    return {f"{node.domain}:{node.op_type}" for node in model.graph.node}


def _assert_runs_as_torch(model: onnx.ModelProto) -> None:
    expected = drawn_by_torch(_module(), train_seeds(model), 0, X)
    for actual, y in zip(run(session(model), array(X)), expected, strict=True):
        assert_same_bits(actual, y)


def test_translation_table() -> None:
    model = _by_dynamo(_module(), seed=7)
    assert train_seeds(model) == [reference.derive_seed(7, i) for i in range(2)]
    _assert_runs_as_torch(model)


def test_torchscript_symbolics(tmp_path: Path) -> None:
    with torchscript_symbolics(seed=7):
        model = _by_torchscript(_module(), tmp_path)
    assert train_seeds(model) == [reference.derive_seed(7, i) for i in range(2)]
    _assert_runs_as_torch(model)


def test_training_of_translation_table() -> None:
    modes = [
        [node["training"] for node in node_attributes(_by_dynamo(_module(), training=training))]
        for training in (None, True, False)
    ]
    assert modes == [[1, 1], [1, 1], [0, 0]]


def test_training_of_torchscript_symbolics(tmp_path: Path) -> None:
    modes = []
    for training in (None, True, False):
        with torchscript_symbolics(training=training):
            model = _by_torchscript(_module(), tmp_path)
        modes.append([node["training"] for node in node_attributes(model)])
    assert modes == [[1, 1], [1, 1], [0, 0]]


@pytest.mark.parametrize("fails", [False, True], ids=["after an export", "after an error"])
def test_symbolics_are_gone_on_exit(fails: bool, tmp_path: Path) -> None:
    stock = _ops(_by_torchscript(nn.RReLU(), tmp_path))
    assert "ort_rrelu:RRelu" not in stock
    with contextlib.suppress(ZeroDivisionError), torchscript_symbolics():
        assert _ops(_by_torchscript(nn.RReLU(), tmp_path)) == {"ort_rrelu:RRelu"}
        assert 1 / (0 if fails else 1)
    assert _ops(_by_torchscript(nn.RReLU(), tmp_path)) == stock


def test_export_leaves_no_symbolics_behind(tmp_path: Path) -> None:
    stock = _ops(_by_torchscript(nn.RReLU(), tmp_path))
    ort_rrelu.torch.export(nn.RReLU(), (X,), dynamo=False)
    assert _ops(_by_torchscript(nn.RReLU(), tmp_path)) == stock


def test_own_translations_join_ours() -> None:
    def leaky(x: Any, *_: Any) -> Any:
        return opset18.LeakyRelu(x, alpha=0.5)

    model = ort_rrelu.torch.export(
        nn.Sequential(nn.RReLU(), nn.GELU()),
        (X,),
        custom_translation_table={torch.ops.aten.gelu.default: leaky},
    )
    assert _ops(model) == {"ort_rrelu:RRelu", ":LeakyRelu"}


@pytest.mark.parametrize("seed", [-1, 2**63, 1.5, "7"])
def test_seeds_that_are_refused(seed: Any) -> None:
    for make in (translation_table, lambda seed: torchscript_symbolics(seed).__enter__()):
        with pytest.raises(ort_rrelu.Error, match="seed="):
            make(seed)
