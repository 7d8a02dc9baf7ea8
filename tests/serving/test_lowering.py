"""Servers and the command line hand their eval nodes to ONNX Runtime as ort_rrelu.InferenceSession does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from ort_rrelu.commands import runtimes
from ort_rrelu.serving.model import ServedModel
from tests.onnx_models import handed_over, parsed

_OPENED: dict[str, Callable[[Path], object]] = {
    "a server": ServedModel,
    "run and bench": runtimes.open_session,
    "compare": runtimes.in_onnxruntime,
}


@pytest.mark.parametrize("who", _OPENED)
def test_weights_beside_the_model(who: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = handed_over(monkeypatch)
    model = parsed("net (float[n,4] x) => (float[n,4] y) { a = MatMul (x, w) y = ort_rrelu.RRelu (a) }")
    model.graph.initializer.append(numpy_helper.from_array(np.eye(4, dtype=np.float32), "w"))
    path = tmp_path / "model.onnx"
    onnx.save(model, path, save_as_external_data=True, location="weights", size_threshold=0)
    _OPENED[who](path)
    assert [isinstance(source, bytes) for source in given] == [who != "compare"]
