"""What comes from Debian, unpacked once and kept: other machines' programs and an old C library."""

from __future__ import annotations

from pathlib import Path

from wheels.commands import ROOT, run


def unpacked(name: str, folder: Path) -> Path:
    """The folder with a set of packages of cmake/fetch_debian.sh."""
    if not (folder / name).is_dir():
        run("bash", ROOT / "cmake" / "fetch_debian.sh", name, folder)
    return folder / name
