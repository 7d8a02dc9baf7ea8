"""What is tested of each wheel, and what is known afterwards."""

from __future__ import annotations

import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wheels import aarch64, linux, speed, windows, wine
from wheels.c_program import library_of
from wheels.commands import run
from wheels.targets import LINUX_AARCH64, LINUX_X86_64, WINDOWS, Target

# gcc's time, times this, is what clang may take.
_SLOWEST = 1.05
_TRIES = 3
# The newest that runs under Debian 12's Wine.
_NODE = "22.11.0"


@dataclass(frozen=True)
class Plan:
    """Wheels, and what they are tested with."""

    wheels: dict[Target, Path]
    folder: Path  # what is fetched and made stays there
    headers: str  # ONNX Runtime's
    gcc: Path  # the wheel of gcc's build
    onnxruntimes: list[str]  # requirements of environments, from the oldest ONNX Runtime to the newest
    node_packages: list[str]  # versions of onnxruntime-node, the same way


def run_all(plan: Plan) -> dict[str, Any]:
    """Name of each test -> what it found. Raises where one fails."""
    cases = plan.folder / "cases"
    shutil.rmtree(cases, ignore_errors=True)
    run(sys.executable, "-m", "wheels.cases", cases)
    return {
        "manylinux x86_64": _on_linux(plan, cases),
        "manylinux aarch64": _on_aarch64(plan),
        "win_amd64": _on_windows(plan, cases),
        "macosx": "inspected, not run",
    }


def _on_linux(plan: Plan, cases: Path) -> dict[str, Any]:
    wheel = plan.wheels[LINUX_X86_64]
    requirements = [text.split() for text in plan.onnxruntimes]
    return {
        "time beside gcc": _ratio(plan),
        "core's tests passed": {
            words[0]: linux.core_tests(wheel, words, plan.folder) for words in requirements
        },
        "C program": linux.c_programs(wheel, plan.headers, cases, plan.node_packages, plan.folder),
    }


def _ratio(plan: Plan) -> float:
    """The best of some tries: the machine may do other things at the same time."""
    libraries = []
    for name, wheel in {"zig": plan.wheels[LINUX_X86_64], "gcc": plan.gcc}.items():
        libraries.append(str(library_of(wheel, LINUX_X86_64, plan.folder / name)))
    found = min(speed.ratio(*libraries) for _ in range(_TRIES))
    if found > _SLOWEST:
        raise AssertionError(f"train mode takes {found:.3f} of the time of gcc's build, more than {_SLOWEST}")
    return round(found, 3)


def _on_aarch64(plan: Plan) -> dict[str, Any]:
    newest = plan.onnxruntimes[-1].split()
    machine = aarch64.Machine(plan.wheels[LINUX_AARCH64], newest, plan.folder)
    return {
        "emulator": machine.version(),
        "ONNX Runtime": newest[0],
        "core's tests passed": {name: machine.core_tests(name) for name in aarch64.PROCESSORS},
    }


def _on_windows(plan: Plan, cases: Path) -> dict[str, Any]:
    newest = plan.onnxruntimes[-1].split()[0].rpartition("=")[2]
    oldest_of_node, newest_of_node = plan.node_packages[0], plan.node_packages[-1]
    with wine.started(plan.folder) as machine:
        runtimes = [
            windows.runtime_of_node(oldest_of_node, plan.folder),
            windows.runtime_of_python(newest, plan.folder),
        ]
        return {
            "emulator": machine.version(),
            "C++ tests": windows.cpp_tests(machine, plan.folder / WINDOWS.tag),
            "C program": windows.c_programs(
                machine, plan.wheels[WINDOWS], plan.headers, cases, runtimes, plan.folder
            ),
            "portable models": windows.portable_models(machine, newest_of_node, _NODE, plan.folder),
        }
