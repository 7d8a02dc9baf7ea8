"""The Python of docs/tensorflow.md runs as printed, and does what the page says."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import onnx
import pytest

from tests.documentation import blocks
from tests.fusing import ops, values_of

_ON_TENSORFLOW, _ON_TORCH = blocks("docs/tensorflow.md", "python")


def test_tensorflow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    example = tmp_path / "example.py"  # TensorFlow reads the source of what it traces
    example.write_text(_ON_TENSORFLOW, "utf-8")
    exec(compile(_ON_TENSORFLOW, example, "exec"), {})
    assert ops(onnx.load("net.onnx")).count("LeakyRelu") == 1
    assert ops(onnx.load("train.onnx")).count("RRelu") == 1


# Keras has one backend for the whole process. A Keras model on torch is the business of the other exporter.
_AFTERWARDS = """
import numpy
session = ort_rrelu.InferenceSession("net.onnx")
drawn = session.run(None, {session.get_inputs()[0].name: x.numpy()})[0]
ort_rrelu.torch.export(net, (x,), "eval.onnx")
session = ort_rrelu.InferenceSession("eval.onnx")
found = session.run(None, {session.get_inputs()[0].name: x.numpy()})[0]
numpy.testing.assert_allclose(found, keras.ops.convert_to_numpy(net(x)), rtol=1e-4, atol=1e-5)
assert (drawn != found).any()
try:
    ort_rrelu.tensorflow.export(net)
except ort_rrelu.Error as error:
    assert "Keras runs on torch here" in str(error) and "ort_rrelu.torch.export" in str(error), error
else:
    raise AssertionError("a Keras model on torch was taken")
"""


def test_torch(tmp_path: Path) -> None:
    environment = os.environ | {"KERAS_BACKEND": "torch"}
    code = _ON_TORCH + _AFTERWARDS
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-3000:]
    (values,) = values_of(onnx.load(tmp_path / "net.onnx"))
    assert values["training"] == 1
