"""Python packages for tests, in the versions of constraints.txt, but for those that a test chooses."""

from __future__ import annotations

import re
from pathlib import Path

from wheels.commands import ROOT, run

_TESTS = ("hypothesis", "pytest")


def install(wheel: Path, packages: list[str], constraints: Path, *where: str | Path) -> None:
    """Install the wheel, packages and what tests need; `where` are uv's options, `constraints` a new file."""
    chosen = {re.split(r"[<>=! ]", package)[0] for package in packages}
    pinned = (ROOT / "constraints.txt").read_text("utf-8").splitlines(keepends=True)
    constraints.write_text("".join(line for line in pinned if line.partition("==")[0] not in chosen))
    run("uv", "pip", "install", "-q", *where, "-c", constraints, wheel, *packages, *_TESTS)
