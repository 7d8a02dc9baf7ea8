"""The commands of docs/command-line.md, as a newcomer types them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import onnx

from tests.documentation import blocks


def test_the_commands_of_the_page_run(tmp_path: Path) -> None:
    (commands,) = blocks("docs/command-line.md", "sh")
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(
        ["bash", "-e", "-c", commands],
        cwd=tmp_path,
        env=os.environ | {"PATH": path},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("Tolerance 1e-05: kept") == 2
    for written in ("net.py", "train.onnx", "eval.onnx", "lowered.onnx", "y.npz", "rows.onnx"):
        assert (tmp_path / written).is_file()
    first, step = onnx.load(tmp_path / "rows.onnx").graph.input
    dimension = first.type.tensor_type.shape.dim[0].dim_param
    assert [dim.dim_param for dim in step.type.tensor_type.shape.dim] == [dimension] == ["batch"]
    last = done.stdout.rstrip().splitlines()[-1].split()
    assert last[0] == "lowered.onnx"
    assert all(float(number) > 0 for number in last[1:])
