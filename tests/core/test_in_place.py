"""Y takes X's buffer where ONNX Runtime may reuse it, seen in the memory that a run takes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper

from ort_rrelu import schema
from tests.onnx_models import Shape, make_model, run, session

_ROOT = Path(__file__).resolve().parents[2]
_SIZE = 16 * 2**20
_BUFFER_MIB = _SIZE * np.dtype(np.float32).itemsize / 2**20


def _peak_mebibytes() -> float:
    # Not getrusage: its peak survives fork and exec, so that a child begins with pytest's.
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def growth_mebibytes(op: str, shape: Shape) -> float:
    """By how much the first run of Abs -> op -> ReduceMax raises the peak of this process's memory."""
    domain = schema.DOMAIN if op == schema.RRELU else ""
    nodes = [
        helper.make_node("Abs", ["x"], ["a"]),
        helper.make_node(op, ["a"], ["b"], domain=domain),
        helper.make_node("ReduceMax", ["b"], ["y"], keepdims=0),
    ]
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, [])]
    # Without an arena, which would keep buffers between nodes.
    chain = session(make_model(nodes, inputs, outputs), arena=False)
    x = np.ones(_SIZE, np.float32)
    before = _peak_mebibytes()
    run(chain, x)
    return _peak_mebibytes() - before


@pytest.mark.onnxruntime("1.24")  # the first that asks our nodes for sizes, which reuse needs
@pytest.mark.parametrize(
    ("op", "shape", "buffers"),
    [
        (schema.RRELU, [_SIZE], 1),
        (schema.RRELU, ["n"], 1),
        # A standard op that may not write over its input: what the measurement must tell apart.
        ("Erf", [_SIZE], 2),
    ],
    ids=str,
)
def test_y_takes_the_buffer_of_x(op: str, shape: Shape, buffers: int) -> None:
    # In a process of its own, whose peak no other test has raised.
    code = f"from tests.core.test_in_place import growth_mebibytes as f; print(f({op!r}, {shape!r}))"
    child = subprocess.run(
        [sys.executable, "-c", code], cwd=_ROOT, capture_output=True, text=True, check=True
    )
    assert float(child.stdout) == pytest.approx(buffers * _BUFFER_MIB, abs=_BUFFER_MIB / 3)
