"""Programs that are run for a wheel, with what they print where they fail."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# One thread: emulated ones mostly wait for each other.
_ENVIRONMENT = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}


class CommandError(Exception):
    """A program that failed."""


def run(*command: str | Path, **environment: str) -> str:
    """What a program prints in the root of the project; raises CommandError, with all of it, if it fails."""
    words = [str(word) for word in command]
    result = subprocess.run(
        words,
        cwd=ROOT,
        env=os.environ | _ENVIRONMENT | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    if result.returncode:
        raise CommandError(f"{' '.join(words)}\n{result.stdout}\nexit status {result.returncode}")
    return result.stdout


def last_line(output: str) -> str:
    """What most programs end with: a summary."""
    return output.rstrip().rpartition("\n")[2]


def passed(output: str) -> int:
    """How many tests passed, of pytest's summary."""
    found = re.search(r"(\d+) passed", last_line(output))
    if not found:
        raise CommandError(f"{output}\nno test passed")
    return int(found[1])
