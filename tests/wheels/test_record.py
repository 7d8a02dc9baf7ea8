"""The record of `make wheels` and the page that follows from it."""

from __future__ import annotations

import json
from typing import Any

from wheels import page
from wheels.commands import ROOT
from wheels.targets import TARGETS

_RECORD = ROOT / "wheels" / "result.json"

_SAMPLE: dict[str, Any] = {
    "date": "2026-01-02",
    "tests": {
        "manylinux x86_64": {
            "time beside gcc": 1.04,
            "core's tests passed": {"onnxruntime==1.17.3": 7, "onnxruntime==1.32.0": 8},
            "C program": {"C library": "glibc-2.31", "says": {"1.17.3": "", "1.30.0": ""}},
        },
        "manylinux aarch64": {
            "emulator": "qemu-aarch64 version 10.0 (Debian)",
            "ONNX Runtime": "onnxruntime==1.32.0",
            "core's tests passed": {"SVE_256": 5, "NEON": 6},
        },
        "win_amd64": {
            "emulator": "wine-8.0 (Debian)",
            "C++ tests": "100% tests passed out of 8",
            "C program": ["ONNX Runtime 1.17.3: 8 models", "ONNX Runtime 1.32.0: 8 models"],
            "portable models": "Node v22 on win32: 36 models",
        },
        "macosx": "inspected, not run",
    },
}


def test_page_follows_from_the_last_record() -> None:
    """There is none before the first run."""
    record = json.loads(_RECORD.read_text("utf-8")) if _RECORD.exists() else None
    assert page.shown() == (page.table(record) if record else "")


def test_table_says_what_was_run_of_each_wheel() -> None:
    lines = page.table(_SAMPLE).splitlines()
    assert lines[0] == "Result of 2026-01-02:"
    linux, aarch64, windows, macos = lines[4:]
    assert "ONNX Runtime 1.17.3 (7), 1.32.0 (8)" in linux
    assert "1.17.3 and 1.30.0 on glibc-2.31" in linux
    assert "1.04 of the time of gcc's build" in linux
    assert "qemu-aarch64 version 10.0: tests of the core on ONNX Runtime 1.32.0" in aarch64
    assert "SVE_256 (5), NEON (6)" in aarch64
    assert "onnxruntime.dll 1.17.3 and 1.32.0; Node v22 on win32: 36 models" in windows
    assert "inspected, not run" in macos


def test_page_names_each_wheel() -> None:
    text = page.PAGE.read_text("utf-8")
    assert [target.tag for target in TARGETS if target.tag not in text] == []
