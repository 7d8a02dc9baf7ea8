"""What comes from Debian, unpacked once and kept: other machines' programs and an old C library."""

from __future__ import annotations

from pathlib import Path

from wheels.commands import ROOT, run

_FOLDER = ROOT / "build" / "native"  # nox's sessions share it


def unpacked(name: str) -> Path:
    """The folder with a set of packages of cmake/fetch_debian.sh."""
    if not (_FOLDER / name).is_dir():
        run("bash", ROOT / "cmake" / "fetch_debian.sh", name, _FOLDER)
    return _FOLDER / name
