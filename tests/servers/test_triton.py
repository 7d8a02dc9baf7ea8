"""`ort-rrelu triton`: its config.pbtxt read by Triton's own protobuf, its model by ONNX Runtime."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2 as triton

import ort_rrelu
from ort_rrelu.errors import InvalidValueError
from ort_rrelu.serving.triton import configuration
from tests.serving_models import MODELS, parse


def _verb(*arguments: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "ort_rrelu", "triton", *arguments], capture_output=True, text=True, timeout=120
    )
    return done.returncode, " ".join((done.stdout + done.stderr).split())


def _config(model: onnx.ModelProto, name: str = "m", **options: Any) -> Any:
    return text_format.Parse(configuration(model, name, **options), triton.ModelConfig())


def test_repository(tmp_path: Path) -> None:
    onnx.save(MODELS["eval"], tmp_path / "net.onnx")
    code, text = _verb(str(tmp_path / "net.onnx"), str(tmp_path / "repository"), "--instances", "2")
    assert code == 0, text
    folder = tmp_path / "repository" / "net"
    assert sorted(path.name for path in folder.rglob("*")) == ["1", "config.pbtxt", "model.onnx"]
    config = text_format.Parse((folder / "config.pbtxt").read_text(), triton.ModelConfig())
    assert (config.name, config.backend, config.max_batch_size) == ("net", "onnxruntime", 32)
    assert list(config.model_operations.op_library_filename) == [ort_rrelu.get_library_path()]
    assert Path(config.model_operations.op_library_filename[0]).is_absolute()
    assert config.dynamic_batching.max_queue_delay_microseconds == 2000
    assert [(g.count, g.kind) for g in config.instance_group] == [(2, triton.ModelInstanceGroup.KIND_AUTO)]
    # Without the batch, which Triton adds.
    assert [(i.name, i.data_type, list(i.dims)) for i in config.input] == [("x", triton.TYPE_FP32, [8])]
    assert [(o.name, list(o.dims)) for o in config.output] == [("scores", [4]), ("y", [8])]
    x = np.ones((2, 8), np.float32)
    session = ort_rrelu.InferenceSession(folder / "1" / "model.onnx", lower_eval=False)
    assert session.run(["y"], {"x": x})[0].tobytes() == ort_rrelu.rrelu(x).tobytes()


@pytest.mark.parametrize("name", ["train", "seeded"])
def test_model_that_draws_does_not_batch(name: str) -> None:
    config = _config(MODELS[name], max_batch_size=32)
    assert config.max_batch_size == 0
    assert not config.HasField("dynamic_batching")
    assert list(config.input[0].dims) == [-1, 8]


def test_scalar_step() -> None:
    step = _config(MODELS["train"]).input[1]
    assert (step.name, step.data_type, list(step.dims)) == ("step", triton.TYPE_INT64, [1])
    assert step.HasField("reshape")
    assert list(step.reshape.shape) == []


def test_step_for_each_row() -> None:
    """Triton joins [N, 1] of its clients, and gives the model [N]."""
    config = _config(MODELS["steps"], max_batch_size=32)
    assert config.max_batch_size == 32
    assert config.HasField("dynamic_batching")
    step = next(value for value in config.input if value.name == "step")
    assert (step.data_type, list(step.dims)) == (triton.TYPE_INT64, [1])
    assert step.HasField("reshape")
    assert list(step.reshape.shape) == []
    assert list(config.input[0].dims) == [8]
    assert not config.input[0].HasField("reshape")
    told = '# "step": shape [N, 1] for clients, [N] for the model.'
    assert told in configuration(MODELS["steps"], "m").splitlines()
    assert "#" not in configuration(MODELS["train"], "m"), "nothing is joined there"


@pytest.mark.parametrize(
    ("name", "types"),
    [
        ("numbers", ["TYPE_FP16", "TYPE_FP64"]),
        ("bfloat16", ["TYPE_BF16"]),
        ("strings", ["TYPE_STRING"]),
    ],
)
def test_datatypes(name: str, types: list[str]) -> None:
    assert [triton.DataType.Name(i.data_type) for i in _config(MODELS[name]).input] == types


def test_names_are_quoted() -> None:
    model = parse("g (float[batch,1] x) => (float[batch,1] y) { y = Identity (x) }")
    model.graph.input[0].name = model.graph.node[0].input[0] = 'a"b\\c/\u00fc:0'
    config = _config(model, 'n"ame', library_path='/opt/my "libs"/l.so', kind="gpu", max_batch_size=1)
    assert config.name == 'n"ame'
    assert config.input[0].name == 'a"b\\c/\u00fc:0'
    assert list(config.model_operations.op_library_filename) == ['/opt/my "libs"/l.so']
    assert config.instance_group[0].kind == triton.ModelInstanceGroup.KIND_GPU
    assert config.max_batch_size == 0


@pytest.mark.parametrize("options", [{"library_path": "lib.so"}, {"kind": "tpu"}])
def test_wrong_arguments(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidValueError, match=next(iter(options.values()))):
        configuration(MODELS["eval"], "m", **options)


def test_existing_model_stays(tmp_path: Path) -> None:
    onnx.save(MODELS["eval"], tmp_path / "net.onnx")
    assert _verb(str(tmp_path / "net.onnx"), str(tmp_path))[0] == 0
    before = (tmp_path / "net" / "config.pbtxt").read_text()
    code, text = _verb(str(tmp_path / "net.onnx"), str(tmp_path), "--instances", "5")
    assert code == 2
    assert "exists already" in text
    assert (tmp_path / "net" / "config.pbtxt").read_text() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["net", "net.onnx"]
