"""onnxruntime-gpu and CUDA kernels on a machine without a GPU: run by `nox -s onnxruntime_gpu`."""

from __future__ import annotations

import numpy as np
import onnxruntime

import ort_rrelu
from ort_rrelu import library, reference
from tests.bits import assert_same_bits
from tests.models import rrelu_model

__all__: list[str] = []

_CUDA = "CUDAExecutionProvider"


def test_both_have_cuda() -> None:
    assert _CUDA in onnxruntime.get_available_providers()
    assert "cuda" in library.build_info()["kernels"]


def test_a_session_that_asks_for_cuda_runs_on_the_cpu() -> None:
    """ONNX Runtime falls back where the provider cannot be made, and the CPU kernels are there."""
    x = -np.ones(64, np.float32)
    model = rrelu_model(training=1, seed=42, outputs=["y"]).SerializeToString()
    session = ort_rrelu.InferenceSession(model, providers=[_CUDA, "CPUExecutionProvider"])
    assert session.get_providers() == ["CPUExecutionProvider"]
    for step in range(2):
        assert_same_bits(session.run(None, {"x": x})[0], -reference.slopes(64, seed=42, step=step))
