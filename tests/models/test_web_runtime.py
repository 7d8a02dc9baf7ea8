"""Where models.web takes onnxruntime-web from: npm, unless the pinned version is there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from models.web import __main__ as web
from models.web import runtime

_ROOT = Path(__file__).resolve().parents[2]


def _install(folder: Path, version: str) -> None:
    (folder / "dist").mkdir(parents=True)
    (folder / "package.json").write_text(json.dumps({"version": version}), "utf-8")
    for name in runtime._FILES:
        (folder / "dist" / name).write_text(name, "utf-8")


@pytest.fixture
def package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The place of the package, on a machine without npm."""
    monkeypatch.setenv("PATH", str(tmp_path))
    place = tmp_path / "node_modules" / "onnxruntime-web"
    monkeypatch.setattr(runtime, "_PACKAGE", place)
    return place


def test_installed_package_is_copied(package: Path, tmp_path: Path) -> None:
    pinned = json.loads((_ROOT / "package.json").read_text("utf-8"))["dependencies"]["onnxruntime-web"]
    _install(package, pinned)
    runtime.copy_runtime(tmp_path / "ort")
    assert {path.name: path.read_text("utf-8") for path in (tmp_path / "ort").iterdir()} == {
        name: name for name in runtime._FILES
    }


@pytest.mark.parametrize("version", [None, "1.0.0"])
def test_without_npm_it_says_so_and_writes_nothing(
    package: Path, tmp_path: Path, version: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    if version:
        _install(package, version)
    assert web.main([str(tmp_path / "page")]) == 1
    assert "there is no npm here: install Node.js" in capsys.readouterr().out
    assert not (tmp_path / "page").exists()
