"""What a wheel is made of, copied for a build: our sources and those of others; and a digest of them."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

from wheels.commands import ROOT, run

_SOURCES = (
    "CMakeLists.txt",
    "LICENSE",
    "README.md",
    "cmake",
    "ops",
    "pyproject.toml",
    "python",
    "third_party",
    "wheels/unloading.c",
)
_TESTS = ("tests/benchmarks", "tests/cpp", "tests/known_answers.txt")

# Variable of CMake -> the files of such a folder that are used, and its file that must be there.
_NATIVE = {
    "ONNXRUNTIME_INCLUDE_DIR": ("onnxruntime_*.h", "onnxruntime_c_api.h"),
    "HIGHWAY_SOURCE_DIR": ("hwy/**/*", "hwy/targets.cc"),
}
_NATIVE_FOLDER = "native"


def date() -> str:
    """When what the wheels are made of was last committed, in seconds since 1970."""
    if "SOURCE_DATE_EPOCH" in os.environ:
        return os.environ["SOURCE_DATE_EPOCH"]
    return run("git", "log", "-1", "--format=%ct", "--", *_SOURCES).strip()


def own(folder: Path) -> Path:
    """Where a build in `folder` has our sources."""
    return folder / "sources"


def native_copies(folder: Path) -> dict[str, str]:
    """Where a build in `folder` has ONNX Runtime's headers and Highway's sources."""
    return {variable: str(folder / _NATIVE_FOLDER / variable) for variable in _NATIVE}


def copied(native: dict[str, str], folder: Path) -> dict[str, str]:
    """Copy everything into a build's folder. Returns CMake's variables for what is not ours."""
    for name in _tracked(*_SOURCES, *_TESTS):
        _copy(ROOT / name, own(folder) / name)
    return native_copied(native, folder)


def native_copied(native: dict[str, str], folder: Path) -> dict[str, str]:
    """Copies: a folder such as /usr/include would bring all headers of this system into the build."""
    copies = native_copies(folder)
    for variable, (pattern, needed) in _NATIVE.items():
        given = Path(native[variable])
        if not (given / needed).is_file():
            raise FileNotFoundError(f"-D {variable}={given} has no {needed}")
        for path in given.glob(pattern):
            if path.is_file():
                _copy(path, Path(copies[variable]) / path.relative_to(given))
    return copies


def _copy(path: Path, copy: Path) -> None:
    copy.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(path, copy)


def _tracked(*paths: str) -> list[str]:
    return run("git", "ls-files", "-z", "--", *paths).rstrip("\0").split("\0")


def digest(folder: Path, tools: Iterable[str]) -> str:
    """Of what the wheel that was built in `folder` is made of: all sources, the date of ours, the tools."""
    found = hashlib.sha256(date().encode())
    for path in _files(*(own(folder) / name for name in _SOURCES), folder / _NATIVE_FOLDER):
        found.update(f"{path.relative_to(folder)}\0".encode() + path.read_bytes())
    for tool in tools:
        found.update(f"{tool} {metadata.version(tool)}".encode())
    return found.hexdigest()


def _files(*places: Path) -> list[Path]:
    return sorted(path for place in places for path in (place, *place.rglob("*")) if path.is_file())
