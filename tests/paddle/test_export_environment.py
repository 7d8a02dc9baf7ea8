"""Paddle2ONNX may live in an environment of its own, and its absence is explained."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from paddle import nn
from paddle.static import InputSpec

import ort_rrelu
from ort_rrelu.errors import MissingPackageError

_SPEC = [InputSpec([2], "float32")]
_VARIABLE = "ORT_RRELU_PADDLE2ONNX_PYTHON"


def _recording(tmp_path: Path, command: str) -> Path:
    """A Python that notes that it was called, then runs `command`."""
    path = tmp_path / "python"
    path.write_text(f'#!/bin/sh\ntouch "{tmp_path}/called"\n{command}\n')
    path.chmod(0o755)
    return path


def test_conversion_runs_in_the_environment_that_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = os.environ.get(_VARIABLE) or sys.executable
    monkeypatch.setenv(_VARIABLE, str(_recording(tmp_path, f'exec "{other}" "$@"')))
    ort_rrelu.paddle.export(nn.RReLU(), None, _SPEC)
    assert (tmp_path / "called").exists()


@pytest.mark.parametrize("package", ["paddle2onnx", "paddle"])
def test_missing_package(package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command = f"echo \"ModuleNotFoundError: No module named '{package}'\" >&2; exit 1"
    monkeypatch.setenv(_VARIABLE, str(_recording(tmp_path, command)))
    with pytest.raises(
        MissingPackageError, match=rf"{package} is not installed .*--no-deps paddle2onnx==2\.1\.0"
    ):
        ort_rrelu.paddle.export(nn.RReLU(), None, _SPEC)


def test_python_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(_VARIABLE, "/absent/python")
    with pytest.raises(MissingPackageError, match=f"{_VARIABLE}=/absent/python: it cannot be run"):
        ort_rrelu.paddle.export(nn.RReLU(), None, _SPEC)


def test_core_does_not_import_paddle() -> None:
    code = "import sys, ort_rrelu; assert not {'paddle', 'onnx_ir', 'ort_rrelu.paddle'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
