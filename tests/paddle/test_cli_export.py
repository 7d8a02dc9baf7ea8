"""`ort-rrelu export` of saved Paddle models."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import paddle
import pytest
from paddle.static import InputSpec

import ort_rrelu
from tests.commands.command_line import call, call_json, refused


@pytest.fixture
def net(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> paddle.nn.Layer:
    """Saved as net.json."""
    monkeypatch.chdir(tmp_path)
    layer = paddle.nn.Sequential(paddle.nn.Linear(4, 3), paddle.nn.RReLU())
    layer.eval()
    paddle.jit.save(layer, "net", [InputSpec([None, 4], "float32", "x")])
    return layer


def test_a_saved_model_is_exported(net: paddle.nn.Layer) -> None:
    facts = call_json("export net.json --eval -o net.onnx")
    assert [node["training"] for node in facts["nodes"]] == [0]
    x = np.linspace(-1, 1, 8, dtype=np.float32).reshape(2, 4)
    found = ort_rrelu.InferenceSession("net.onnx").run(None, {"x": x})[0]
    np.testing.assert_allclose(found, net(paddle.to_tensor(x)).numpy(), rtol=1e-5, atol=1e-6)


def test_all_options_at_once(net: paddle.nn.Layer) -> None:
    facts = call_json("export net.json --train --seed 1 --step-input --opset 19 -o net.onnx")
    (node,) = facts["nodes"]
    assert (node["training"], node["seed"]) == (1, ort_rrelu.reference.derive_seed(1, 0))
    assert list(facts["inputs"]) == ["x", "step"]
    assert facts["opsets"]["ai.onnx"] == 19
    bits = call_json("compare net.onnx --without-library --dim batch=5 --tolerance 1e-6")
    assert not bits["exceeded"]


def test_a_lost_mode_is_said(net: paddle.nn.Layer, caplog: pytest.LogCaptureFixture) -> None:
    call("export net.json -o net.onnx")
    assert "a saved model has lost the modes of its rrelus" in caplog.text


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("nope.json", "there is no model file nope.json"),
        ("junk.json", "junk.json"),
        ("net.json --dynamic-batch", "--dynamic-batch: net.json is a saved model"),
        ("net.json --torchscript", "--torchscript: net.json is a saved model"),
        ("net.json --opset 3", "opset_version=3"),
    ],
)
def test_errors_are_one_line(net: paddle.nn.Layer, command: str, message: str) -> None:
    Path("junk.json").write_text("{}")
    assert message in refused(f"export {command} -o net.onnx")
