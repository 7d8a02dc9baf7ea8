"""Damaged models, one after the other, in a process of their own: what is wrong with the tools."""

from __future__ import annotations

import json
import os
import select
import struct
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from tests.commands.fuzz_worker import RUNTIME, VERBS
from tests.commands.fuzzed_models import damaged_models

_SECONDS = 120.0  # of one call on a small model, on a machine that is busy
_SECONDS_OF_RUNTIME = 20.0  # ONNX Runtime alone may run a loop that ends never


class FuzzProcess:
    """The process that does the work; another takes its place when it hangs or dies.

    program: Python's arguments. runtime_ends: how many times ONNX Runtime alone was the reason.
    """

    def __init__(self, *program: str) -> None:
        self._program = program or ("-m", "tests.commands.fuzz_worker")
        self.runtime_ends = 0
        self._start()

    def _start(self) -> None:
        command = [sys.executable, "-X", "faulthandler", *self._program]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        self._worker = subprocess.Popen(command, cwd=Path(__file__).parents[2], **pipes)  # type: ignore[call-overload]
        self._answers = b""

    def end(self) -> None:
        """Without a new one."""
        self._worker.kill()
        self._worker.communicate()

    def findings(self, command: str, data: bytes) -> list[dict[str, str]]:
        """What is wrong with the tools, seen on one model."""
        self._worker.stdin.write(struct.pack("<II", VERBS.index(command), len(data)) + data)
        self._worker.stdin.flush()
        stage = "start"
        found: list[dict[str, str]] = []
        while True:
            answer = self._answer(_SECONDS_OF_RUNTIME if stage == RUNTIME else _SECONDS)
            if isinstance(answer, str):
                self.end()
                self._start()
                if stage == RUNTIME:  # alone, or called again with what it has just died of
                    self.runtime_ends += 1
                    return found
                return [*found, {"stage": stage, "error": answer}]
            if "done" in answer:
                return found
            if "finding" in answer:
                found.append(answer["finding"])
            stage = answer.get("stage", stage)

    def _answer(self, seconds: float) -> dict[str, Any] | str:
        end = time.monotonic() + seconds
        pipe = self._worker.stdout
        while b"\n" not in self._answers:
            if not select.select([pipe], [], [], max(0.0, end - time.monotonic()))[0]:
                return f"no answer after {seconds:g} s"
            if not (read := os.read(pipe.fileno(), 1 << 16)):
                return f"the process died: exit code {self._worker.wait()}"
            self._answers += read
        line, self._answers = self._answers.split(b"\n", 1)
        return dict(json.loads(line))


def look(process: FuzzProcess, cases: int, first: int | None = None) -> tuple[int, dict[str, str]]:
    """How many models were tried, and one finding of each place.

    first: a number from which the models follow; else they are others each time.
    """
    found: dict[str, str] = {}
    tried = 0

    @settings(
        max_examples=cases,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(data=damaged_models(), command=st.sampled_from(VERBS))
    def try_model(data: bytes, command: str) -> None:
        nonlocal tried
        tried += 1
        for finding in process.findings(command, data):
            place = finding.get("where") or f"{finding['stage']}: {finding['error']}"
            found.setdefault(place, f"{command}: {finding}\n{data!r}")

    (try_model if first is None else seed(first)(try_model))()
    return tried, found
