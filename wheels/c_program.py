"""session.c for a platform, and the ONNX Runtimes that it runs with: those that come without Python."""

from __future__ import annotations

import zipfile
from pathlib import Path

from wheels.building import ZIG
from wheels.commands import run
from wheels.targets import Target

_SOURCE = Path(__file__).with_name("session.c")


def compiled(target: Target, headers: str, folder: Path) -> Path:
    """The program."""
    program = folder / f"session-{target.tag}.exe"
    flags = ("-std=gnu11", "-O1", "-Wall", "-Wextra", "-Werror")
    run(ZIG, "cc", "-target", target.zig, *flags, "-isystem", headers, _SOURCE, "-o", program)
    return program


def library_of(wheel: Path, target: Target, folder: Path) -> Path:
    """Our library, out of the wheel."""
    with zipfile.ZipFile(wheel) as archive:
        return Path(archive.extract(f"ort_rrelu/{target.library}", folder))


def node_package(version: str, folder: Path) -> Path:
    """The modules of npm's onnxruntime-node, which brings ONNX Runtime for every system."""
    modules = folder / f"onnxruntime-node-{version}" / "node_modules"
    if not modules.is_dir():
        modules.parent.mkdir(parents=True, exist_ok=True)
        options = ("--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline", "--silent")
        run("npm", "install", *options, "--prefix", modules.parent, f"onnxruntime-node@{version}")
    return modules
