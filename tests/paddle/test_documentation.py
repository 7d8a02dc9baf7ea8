"""The Python of docs/paddle.md runs as printed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.documentation import blocks


def test_python_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for example in blocks("docs/paddle.md", "python"):
        exec(compile(example, "docs/paddle.md", "exec"), names)
    assert Path("net.onnx").is_file() and Path("rows.onnx").is_file()
