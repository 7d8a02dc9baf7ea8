"""onnxruntime-gpu and CUDA kernels on a machine without a GPU: run by `nox -s onnxruntime_gpu`."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime

import ort_rrelu
from ort_rrelu import library, reference
from tests.bits import assert_same_bits
from tests.onnx_models import rrelu_model

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


_CALLS = """
import numpy as np, ort_rrelu
from ort_rrelu import library
print(ort_rrelu.rrelu(np.float32([1]), training=True, seed=1)[0])
try:
    library.cuda_forward(library.Params(1), library.CudaCall(), 4096, 8192, None, 0, 8)
except ort_rrelu.Error as error:
    print(error)
"""


def test_a_driver_that_is_too_old_is_an_error_with_both_versions(tmp_path: Path) -> None:
    source = Path(__file__).with_name("old_driver.c")
    driver = tmp_path / "libcuda.so.1"
    subprocess.run(["cc", "-shared", "-fPIC", "-o", str(driver), str(source)], check=True)
    environment = {**os.environ, "LD_LIBRARY_PATH": str(tmp_path)}
    cpu, cuda = subprocess.check_output(
        [sys.executable, "-c", _CALLS], text=True, env=environment
    ).splitlines()
    facts = library.build_info()["cuda"]
    assert cpu == "1.0"
    assert re.match(
        rf"the NVIDIA driver here is for CUDA 11\.8: .* CUDA {re.escape(facts['toolkit'])} "
        rf"and need driver {re.escape(facts['minimum_driver'])} or newer",
        cuda,
    )
