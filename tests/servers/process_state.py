"""What the process of a server holds: memory, open files, threads."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class State:
    """MiB, the most it ever had, open files, threads."""

    mib: float
    peak_mib: float
    files: int
    threads: int


def state(process: int) -> State:
    """What the process has now."""
    folder = Path(f"/proc/{process}")
    status = (folder / "status").read_text()

    def number(name: str) -> int:
        found = re.search(rf"{name}:\s*(\d+)", status)
        assert found is not None, status
        return int(found[1])

    files = sum(1 for _ in (folder / "fd").iterdir())
    resident, peak = (round(number(name) / 1024, 1) for name in ("VmRSS", "VmHWM"))
    return State(resident, peak, files, number("Threads"))


def forget_peak(process: int) -> None:
    """The most it ever had is what it has now."""
    Path(f"/proc/{process}/clear_refs").write_text("5")
