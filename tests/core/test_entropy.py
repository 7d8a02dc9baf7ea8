"""Seeds of entropy on a Linux that gives it in an old way, and on one that gives none."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or not shutil.which("cc"), reason="needs Linux and a C compiler"
)

_DRAWS = """
import numpy as np, onnxruntime, ort_rrelu
from tests.onnx_models import rrelu_model
options = onnxruntime.SessionOptions()
options.log_severity_level = 4
options.register_custom_ops_library(ort_rrelu.get_library_path())
model = rrelu_model(training=1, seed=-1, outputs=["y"]).SerializeToString()
try:
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    print(session.run(None, {"x": -np.ones(64, np.float32)})[0].tobytes().hex())
except Exception as error:
    print(error)
"""


@pytest.fixture(scope="module")
def preload(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library that goes before libc."""
    source = Path(__file__).with_name("little_entropy.c")
    path = tmp_path_factory.mktemp("entropy") / "little_entropy.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-o", str(path), str(source), "-ldl"], check=True)
    return path


def _draw(preload: Path, **environment: str) -> str:
    env = os.environ | {"LD_PRELOAD": str(preload)} | environment
    return subprocess.check_output([sys.executable, "-c", _DRAWS], text=True, env=env).strip()


def test_without_the_system_call_seeds_come_from_the_file(preload: Path) -> None:
    first, second = _draw(preload), _draw(preload)
    assert len(bytes.fromhex(first)) == len(bytes.fromhex(second)) == 4 * 64
    assert first != second


def test_without_any_entropy_there_is_no_seed(preload: Path) -> None:
    assert "the operating system gave no entropy for a seed" in _draw(preload, NO_ENTROPY="1")
