"""The table of docs/platforms.md, made of the record."""

from __future__ import annotations

import re
from typing import Any

from wheels.commands import ROOT

PAGE = ROOT / "docs" / "platforms.md"
_BEGIN, _END = "<!-- of wheels/result.json -->\n", "<!-- end -->\n"
_PLACE = re.compile(f"(?<={_BEGIN}).*(?={_END})", re.DOTALL)


def table(record: dict[str, Any]) -> str:
    """What was run of each wheel."""
    rows = {
        "manylinux_2_17_x86_64": _linux(record["tests"]["manylinux x86_64"]),
        "manylinux_2_17_aarch64": _aarch64(record["tests"]["manylinux aarch64"]),
        "win_amd64": _windows(record["tests"]["win_amd64"]),
        "macosx_11_0_arm64, macosx_11_0_x86_64": _macos(record["tests"]["macosx"]),
    }
    lines = [f"Result of {record['date']}:", "", "| wheel | what was run |", "|---|---|"]
    return "\n".join([*lines, *(f"| {name} | {text} |" for name, text in rows.items())]) + "\n"


def _linux(facts: dict[str, Any]) -> str:
    passed = ", ".join(f"{name.partition('==')[2]} ({n})" for name, n in facts["core's tests passed"].items())
    program = facts["C program"]
    return (
        f"tests of the core on ONNX Runtime {passed}; a C program with ONNX Runtime "
        f"{' and '.join(program['says'])} on {program['C library']}; train mode takes "
        f"{facts['time beside gcc']} of the time of gcc's build"
    )


def _aarch64(facts: dict[str, Any]) -> str:
    passed = ", ".join(f"{name} ({n})" for name, n in facts["core's tests passed"].items())
    runtime = facts["ONNX Runtime"].partition("==")[2]
    return f"{_emulator(facts)}: tests of the core on ONNX Runtime {runtime} with {passed}"


def _windows(facts: dict[str, Any]) -> str:
    runtimes = " and ".join(re.findall(r"ONNX Runtime ([\d.]+)", " ".join(facts["C program"])))
    return (
        f"{_emulator(facts)}: the C++ tests; a C program with onnxruntime.dll {runtimes}; "
        f"{facts['portable models']}"
    )


def _macos(text: str) -> str:
    return f"{text}: exports, install name, oldest macOS, what it links; on arm64 the signature"


def _emulator(facts: dict[str, Any]) -> str:
    return str(facts["emulator"]).partition(" (")[0]


def shown() -> str:
    """What the page has now."""
    found = _PLACE.search(PAGE.read_text("utf-8"))
    if not found:
        raise ValueError(f"{PAGE} has no place for the table: {_BEGIN.strip()} and {_END.strip()}")
    return found[0]


def write(record: dict[str, Any]) -> None:
    """Put the table into the page."""
    before = _BEGIN + shown()
    PAGE.write_text(PAGE.read_text("utf-8").replace(before, _BEGIN + table(record)), "utf-8")
