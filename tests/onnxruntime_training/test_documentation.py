"""The example of docs/onnxruntime-training.md, as it is printed there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from torch import nn

from tests.documentation import blocks
from tests.onnxruntime_training.networks import CLASSES, FEATURES, batch


def test_the_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(FEATURES, 8), nn.RReLU(), nn.Linear(8, CLASSES))
    x_test, labels_test = batch(seed=9)
    names: dict[str, Any] = {
        "net": network,
        "x": torch.zeros(5, FEATURES),
        "batches": [batch(seed=seed) for seed in range(3)],
        "x_test": x_test,
        "labels_test": labels_test,
    }
    # The batches have other sizes than x.
    (example,) = blocks("docs/onnxruntime-training.md", "python")
    exec(example, names)
    assert (tmp_path / "made" / "checkpoint-1").stat().st_size > 0
    session = onnxruntime.InferenceSession("served.onnx")
    (logits,) = session.run(["logits"], {session.get_inputs()[0].name: x_test})
    np.testing.assert_allclose(logits, names["logits"], rtol=1e-5, atol=1e-5)
