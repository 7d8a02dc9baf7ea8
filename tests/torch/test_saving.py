"""What torch.onnx.export does only when it saves a model, and export does with what it returns and writes."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from torch import nn

import ort_rrelu
from tests.onnx_models import run, session
from tests.torch.arrays import array
from tests.torch.exports import X, both_exporters, export_quietly, outputs_of

pytestmark = pytest.mark.filterwarnings("ignore")  # torch's advice


def _network(activation: type[nn.Module]) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv1d(3, 2, 2), activation(), nn.BatchNorm1d(2)).eval()


def _parts(model: onnx.ModelProto) -> tuple[list[str], set[str]]:
    return [value.name for value in model.graph.input], {t.name for t in model.graph.initializer}


@both_exporters
def test_weights_and_inputs_are_those_that_torch_saves(dynamo: bool, tmp_path: Path) -> None:
    for weights, inputs in ((False, False), (True, True)):
        saving: dict[str, Any] = {"export_params": weights, "keep_initializers_as_inputs": inputs}
        path = tmp_path / f"{weights}{inputs}.onnx"
        torch.onnx.export(_network(nn.LeakyReLU), (X,), str(path), dynamo=dynamo, **saving)
        theirs = _parts(onnx.load(path))
        model = export_quietly(_network(nn.RReLU), f=tmp_path / "ours.onnx", dynamo=dynamo, **saving)
        assert _parts(model) == _parts(onnx.load(tmp_path / "ours.onnx")) == theirs
        assert bool(theirs[1]) == weights


@both_exporters
def test_weights_that_are_inputs_are_fed(dynamo: bool) -> None:
    wanted: dict[str, Any] = {"training": True, "seed": 3, "step_input": True}
    model = export_quietly(_network(nn.RReLU), keep_initializers_as_inputs=True, dynamo=dynamo, **wanted)
    x, *_, step = (value.name for value in model.graph.input)
    assert step == "step"
    of, feeds = session(model), {x: array(X), "step": np.array(0)}
    by_default, fed = (of.run(None, feeds | more)[0] for more in ({}, {"0.bias": np.ones(2, np.float32)}))
    assert (by_default != fed).any()


@both_exporters
def test_a_binary_stream_gets_the_model(dynamo: bool, tmp_path: Path) -> None:
    stream = io.BytesIO()
    model = export_quietly(nn.RReLU().eval(), f=stream, dynamo=dynamo)
    assert onnx.load_from_string(stream.getvalue()) == model
    with (tmp_path / "net.onnx").open("wb") as opened:
        export_quietly(nn.RReLU().eval(), f=opened, dynamo=dynamo)
    assert onnx.load(tmp_path / "net.onnx") == model


_REFUSED: dict[str, tuple[Any, dict[str, Any], str]] = {
    "number": (3, {}, r"^f=3: it must be a path, an io.BytesIO or another binary stream, or None$"),
    "text": (io.StringIO(), {}, "it must be a path, an io.BytesIO"),
    "bytes": (b"net.onnx", {}, "it must be a path, an io.BytesIO"),
    "weights beside a stream": (io.BytesIO(), {"external_data": True}, "external_data=True: f is a stream"),
    "a check": (None, {"verify": True}, "verify=True: torch's check cannot load the library"),
    "opset": (None, {"opset_version": "18"}, "^opset_version='18': it must be an integer, or None$"),
}


@pytest.mark.parametrize(("f", "arguments", "message"), _REFUSED.values(), ids=_REFUSED)
def test_refusals(f: Any, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ort_rrelu.Error, match=message) as caught:
        ort_rrelu.torch.export(nn.RReLU(), (X,), f, **arguments)
    assert isinstance(caught.value, TypeError | ValueError)


def test_a_stream_that_is_only_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(b"as it was")
    with path.open("rb") as read, pytest.raises(ort_rrelu.Error, match="not open for writing"):
        ort_rrelu.torch.export(nn.RReLU(), (X,), read)
    assert path.read_bytes() == b"as it was"


def test_weights_in_another_file(tmp_path: Path) -> None:
    network = nn.Sequential(nn.Linear(7, 100), nn.RReLU()).eval()
    export_quietly(network, f=tmp_path / "net.onnx", external_data=True)
    assert (tmp_path / "net.onnx.data").is_file()
    of = ort_rrelu.InferenceSession(tmp_path / "net.onnx")
    np.testing.assert_allclose(run(of, array(X))[0], outputs_of(network, X)[0], rtol=1e-5, atol=1e-6)
