"""The aarch64 wheel: Debian's Python under QEMU, with the real ONNX Runtime, on processors old and new."""

from __future__ import annotations

import shutil
from pathlib import Path

from wheels import debian
from wheels.commands import passed, run
from wheels.packages import install

# What it is called in `build_info` -> a processor for which the kernels choose it.
PROCESSORS = {"SVE2": "max", "SVE2_128": "neoverse-n2", "SVE_256": "neoverse-v1", "NEON": "cortex-a72"}
_PYTHON = "3.13"  # Debian's
_PLATFORM = "aarch64-manylinux_2_28"
_TESTS = ("known_answers", "parity", "bad_models")
_SHOW = "from ort_rrelu.library import build_info; print(build_info()['instruction_set'])"


class Machine:
    """An emulated one that has the wheel installed."""

    def __init__(self, wheel: Path, packages: list[str], folder: Path) -> None:
        self._emulator = debian.unpacked("qemu") / "usr" / "bin" / "qemu-aarch64"
        self._system = debian.unpacked("aarch64")
        self._packages = folder / "aarch64-packages"
        shutil.rmtree(self._packages, ignore_errors=True)
        where = ("--target", self._packages, "--python-version", _PYTHON, "--python-platform", _PLATFORM)
        options = (*where, "--only-binary", ":all:")
        install(wheel, packages, folder / "aarch64-constraints.txt", *options)

    def version(self) -> str:
        """The emulator's name and version."""
        return run(self._emulator, "--version").partition("\n")[0]

    def python(self, processor: str, *arguments: str) -> str:
        """What a program in Python prints on a processor."""
        system = (self._emulator, "-L", self._system, "-cpu", processor)
        return run(
            *system, self._system / "usr" / "bin" / "python3", *arguments, PYTHONPATH=str(self._packages)
        )

    def core_tests(self, name: str) -> int:
        """How many tests pass with an instruction set, which the kernels must really choose."""
        processor = PROCESSORS[name]
        chosen = self.python(processor, "-c", _SHOW).strip()
        if chosen != name:
            raise AssertionError(f"{processor}: the kernels chose {chosen}, not {name}")
        options = ("-q", "-p", "no:cacheprovider", "--disable-warnings")
        return passed(
            self.python(processor, "-m", "pytest", *options, *(f"tests/core/test_{t}.py" for t in _TESTS))
        )
