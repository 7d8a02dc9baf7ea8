"""What is tested of each wheel, and what is known afterwards."""

from __future__ import annotations

import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wheels import aarch64, linux, speed, windows, wine
from wheels.c_program import library_of, node_package
from wheels.commands import run
from wheels.targets import LINUX_AARCH64, LINUX_X86_64, WINDOWS, Target

# gcc's time, times this, is what clang may take.
_SLOWEST = 1.05
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
    for version in plan.node_packages:
        node_package(version, plan.folder)
    ratio = _ratio(plan)  # before anything else runs
    with ThreadPoolExecutor() as pool:
        on_linux, on_aarch64 = pool.submit(_on_linux, plan, cases), pool.submit(_on_aarch64, plan)
        on_windows = pool.submit(_on_windows, plan, cases)
        return {
            "manylinux x86_64": {"time beside gcc": ratio, **on_linux.result()},
            "manylinux aarch64": on_aarch64.result(),
            "win_amd64": on_windows.result(),
            "macosx": "inspected, not run",
        }


def _on_linux(plan: Plan, cases: Path) -> dict[str, Any]:
    wheel = plan.wheels[LINUX_X86_64]
    requirements = [text.split() for text in plan.onnxruntimes]
    return {
        "core's tests passed": {
            words[0]: linux.core_tests(wheel, words, plan.folder) for words in requirements
        },
        "C program": linux.c_programs(wheel, plan.headers, cases, plan.node_packages, plan.folder),
    }


def _ratio(plan: Plan) -> float:
    """Of the shortest times; raises where zig's code is too slow."""
    libraries = []
    for name, wheel in {"zig": plan.wheels[LINUX_X86_64], "gcc": plan.gcc}.items():
        libraries.append(str(library_of(wheel, LINUX_X86_64, plan.folder / name)))
    found = speed.ratio(*libraries)
    if found > _SLOWEST:
        raise AssertionError(f"train mode takes {found:.3f} of the time of gcc's build, more than {_SLOWEST}")
    return round(found, 3)


def _on_aarch64(plan: Plan) -> dict[str, Any]:
    newest = plan.onnxruntimes[-1].split()
    machine = aarch64.Machine(plan.wheels[LINUX_AARCH64], newest, plan.folder)
    with ThreadPoolExecutor() as pool:
        passed = list(pool.map(machine.core_tests, aarch64.PROCESSORS))
    return {
        "emulator": machine.version(),
        "ONNX Runtime": newest[0],
        "core's tests passed": dict(zip(aarch64.PROCESSORS, passed, strict=True)),
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
