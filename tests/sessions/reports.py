"""ThreadSanitizer's reports, and which of them are about code of ours: ONNX Runtime is not instrumented."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

_FRAME = re.compile(r"    #\d+ (?P<text>.*) \((?P<module>[^()]*)\+0x[0-9a-f]+\)")
_SANITIZER = "libtsan"
# What made a thread or a block of memory is not what went wrong with it.
_ORIGINS = ("Thread ", "Location is", "As if synchronized")


class _Frame(NamedTuple):
    text: str
    module: str


def reports(log: str) -> list[str]:
    """One after the other."""
    return [part for part in re.split(r"^=+$", log, flags=re.MULTILINE) if "WARNING: ThreadSanitizer" in part]


def _stacks(report: str) -> Iterator[list[_Frame]]:
    """Of the accesses and locks that a report is about, the innermost frame first."""
    for paragraph in report.split("\n\n"):
        frames = [_Frame(*match.groups()) for match in _FRAME.finditer(paragraph)]
        heading = paragraph.split("    #")[0].strip().splitlines()
        if frames and not heading[-1].strip().startswith(_ORIGINS):
            yield frames


def _by(stack: list[_Frame], folder: str) -> bool:
    """Did code of the folder do it, not what it called in another library?"""
    done = [frame for frame in stack if not frame.module.startswith(_SANITIZER)]
    own = done[: next((i for i, f in enumerate(done) if f.module != done[0].module), len(done))]
    return any(folder in frame.text for frame in own)


def about(folder: str, log: str) -> list[str]:
    """The reports in which code of the folder reads, writes or locks."""
    return [report for report in reports(log) if any(_by(stack, folder) for stack in _stacks(report))]
