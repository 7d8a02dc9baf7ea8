"""Each rrelu's own mode survives in live models; for saved ones training= decides."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import paddle
import pytest
from paddle import nn
from paddle.static import InputSpec

import ort_rrelu
from tests.paddle.constructs import CONSTRUCTS, Branch, Chain, Loop
from tests.paddle.exports import attributes_of_nodes

_SPEC = [InputSpec([None, 7], "float32", "x")]


def _modes(model: Any, spec: Any = _SPEC, **kw: Any) -> dict[float, int]:
    """Lower bound -> mode of the node."""
    exported = ort_rrelu.paddle.export(model, None, spec, **kw)
    return {round(node["lower"], 4): node["training"] for node in attributes_of_nodes(exported)}


def test_train_model_with_one_layer_in_eval() -> None:
    layer = Chain()
    layer.train()
    layer.second.eval()
    assert _modes(layer) == {0.125: 1, 0.0: 0, 0.25: 1}
    layer.eval()
    layer.second.train()
    assert _modes(layer) == {0.125: 0, 0.0: 1, 0.25: 0}


@pytest.mark.parametrize("make", [Branch, Loop])
def test_modes_in_bodies_of_control_flow(make: type[nn.Layer]) -> None:
    layer = make()
    layer.train()
    layer.act.eval()
    own = {Branch: 0.2, Loop: 0.7}[make]
    assert _modes(layer) == {lower: int(lower != own) for lower in _modes(layer)}


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("own", [True, False])
def test_training_sets_every_node(training: bool, own: bool) -> None:
    layer = Chain()
    layer.train() if own else layer.eval()
    assert set(_modes(layer, training=training).values()) == {int(training)}
    assert layer.training == own


@pytest.mark.parametrize("full_graph", [True, False], ids=["full_graph", "default"])
def test_mode_switched_after_tracing(full_graph: bool) -> None:
    layer = Chain()
    paddle.jit.to_static(layer, input_spec=_SPEC, full_graph=full_graph)
    layer.train()
    layer(paddle.ones([2, 7]))
    assert set(_modes(layer, None).values()) == {1}
    layer.second.eval()
    assert _modes(layer, None) == {0.125: 1, 0.0: 0, 0.25: 1}
    layer.eval()
    assert set(_modes(layer, None).values()) == {0}


def test_export_leaves_the_layer_as_it_was(tmp_path: Path) -> None:
    layer = Chain()
    before = set(vars(layer))
    ort_rrelu.paddle.export(layer, tmp_path / "net.onnx", _SPEC)
    assert set(vars(layer)) == before
    assert layer.training
    assert [file.name for file in tmp_path.iterdir()] == ["net.onnx"]
    paddle.seed(1)
    first, second = layer(-paddle.ones([2, 7])), layer(-paddle.ones([2, 7]))
    assert not paddle.equal_all(first, second)


@pytest.mark.parametrize("construct", ["chain of different bounds", "If, then", "Loop"])
def test_saved_model_is_in_eval_mode_unless_told_and_says_so(
    construct: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    of = CONSTRUCTS[construct]
    layer = of.make()
    layer.train()
    path = str(tmp_path / "net")
    paddle.jit.save(layer, path, input_spec=of.input_spec)
    with caplog.at_level(logging.WARNING, "ort_rrelu"):
        assert set(_modes(path, None).values()) == {0}
        (record,) = caplog.records
        assert path in record.getMessage()
        assert "eval mode" in record.getMessage()
        caplog.clear()
        assert set(_modes(path, None, training=True).values()) == {1}
        assert set(_modes(path, None, training=False).values()) == {0}
        assert not caplog.records


def test_log_says_nothing_of_live_layers(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):  # the level that importing Paddle leaves
        _modes(nn.Sequential(nn.Linear(7, 7), nn.RReLU(), nn.Linear(7, 7)))
    assert not caplog.records


def test_log_of_onnx_ir_comes_where_it_is_asked_for(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "onnx_ir"):
        _modes(nn.Sequential(nn.Linear(7, 7), nn.RReLU(), nn.Linear(7, 7)))
        assert logging.getLogger("onnx_ir").level == logging.INFO
    assert any(record.name.startswith("onnx_ir.") for record in caplog.records)
