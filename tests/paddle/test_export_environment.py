"""Paddle2ONNX may live in an environment of its own, and its absence is explained."""

from __future__ import annotations

import os
import re
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


_BROKEN = {
    "no Paddle2ONNX": (
        "echo \"ModuleNotFoundError: No module named 'paddle2onnx'\" >&2; exit 1",
        r"paddle2onnx is not installed there: .*--no-deps paddle2onnx==2\.1\.0",
    ),
    "no Paddle": (
        "echo \"ModuleNotFoundError: No module named 'paddle'\" >&2; exit 1",
        r"paddle is not installed there: .*--no-deps paddle2onnx==2\.1\.0",
    ),
    "fails silently": ("exit 1", r"status 1 before it came to Paddle2ONNX \(no output\): pip install"),
    "no Python": ("echo hello", r"status 0 before it came to Paddle2ONNX \(hello\): pip install"),
    "broken library": (
        "echo something >&2; echo 'ImportError: libpaddle.so: no such file' >&2; exit 1",
        r"status 1 before .* \(ImportError: libpaddle\.so: no such file\)",
    ),
}


@pytest.mark.parametrize(("command", "message"), _BROKEN.values(), ids=_BROKEN)
def test_python_that_does_not_come_to_paddle2onnx(
    command: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    python = str(_recording(tmp_path, command))
    monkeypatch.setenv(_VARIABLE, python)
    with pytest.raises(MissingPackageError, match=f"^{_VARIABLE}={re.escape(python)}: .*{message}"):
        ort_rrelu.paddle.export(nn.RReLU(), None, _SPEC)


def test_environment_without_the_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "bare"], check=True)
    python = str(tmp_path / "bare" / "bin" / "python")
    monkeypatch.setenv(_VARIABLE, python)
    with pytest.raises(MissingPackageError, match=f"^{re.escape(f'{_VARIABLE}={python}')}: paddle is not"):
        ort_rrelu.paddle.export(nn.RReLU(), None, _SPEC)


@pytest.mark.parametrize("name", ["absent", "not executable", "."])
def test_python_that_cannot_be_run(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "not executable").write_text("")
    python = str(tmp_path / name)
    monkeypatch.setenv(_VARIABLE, python)
    with pytest.raises(MissingPackageError, match=f"{_VARIABLE}={re.escape(python)}: it cannot be run"):
        ort_rrelu.paddle.export(nn.RReLU(), None, _SPEC)


def test_export_of_the_old_format_needs_it_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "net.pdmodel").write_bytes(b"")
    monkeypatch.setenv(_VARIABLE, "/bin/false")
    with pytest.raises(MissingPackageError, match=f"^{_VARIABLE}=/bin/false: it ended with status 1"):
        ort_rrelu.paddle.export(tmp_path / "net.pdmodel")


def test_core_does_not_import_paddle() -> None:
    code = "import sys, ort_rrelu; assert not {'paddle', 'onnx_ir', 'ort_rrelu.paddle'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
