"""Whether package indexes and pip take the wheels."""

from __future__ import annotations

import sys
from pathlib import Path

from wheels.commands import run
from wheels.targets import TARGETS

_NO_INDEX = ("--no-deps", "--no-index", "--only-binary", ":all:", "--python-version", "3.11", "-q")


def check(folder: Path, downloads: Path) -> list[str]:
    """Check the wheels of a folder; returns the platforms for which pip downloads one."""
    wheels = sorted(folder.glob("*.whl"))
    run(sys.executable, "-m", "twine", "check", "--strict", *wheels)
    run(sys.executable, "-m", "check_wheel_contents", *wheels)
    platforms = [tag for target in TARGETS for tag in (target.tag, *target.older_tags)]
    for platform in platforms:
        options = (*_NO_INDEX, "--platform", platform, "--find-links", folder, "-d", downloads / platform)
        run(sys.executable, "-m", "pip", "download", *options, "ort-rrelu")
    return platforms
