"""The x86_64 wheel for Linux: the core's tests on all ONNX Runtimes, a C program on an old C library."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from wheels import c_program, debian
from wheels.commands import last_line, passed, run
from wheels.packages import install
from wheels.targets import LINUX_X86_64

# The oldest that Debian's mirrors have.
_OLD_LIBC = "glibc-2.31"
_TESTS = ("known_answers", "parity", "library", "hardening", "session", "fork", "entropy")


def core_tests(wheel: Path, packages: list[str], folder: Path) -> int:
    """Tests of the installed wheel in an environment of its own; `packages` names ONNX Runtime."""
    python = folder / packages[0] / "bin" / "python"
    run("uv", "venv", "-q", "--clear", folder / packages[0])
    install(wheel, packages, folder / packages[0] / "constraints.txt", "--python", python)
    tests = [f"tests/core/test_{name}.py" for name in _TESTS]
    return passed(run(python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--disable-warnings", *tests))


def c_programs(wheel: Path, headers: str, cases: Path, runtimes: list[str], folder: Path) -> dict[str, Any]:
    """Version of npm's onnxruntime-node -> what session.c says on the oldest C library at hand."""
    program = c_program.compiled(LINUX_X86_64, headers, folder)
    library = c_program.library_of(wheel, LINUX_X86_64, folder)
    system = debian.unpacked(_OLD_LIBC)
    folders = [system / "lib/x86_64-linux-gnu", system / "usr/lib/x86_64-linux-gnu"]
    loader = (folders[0] / "ld-linux-x86-64.so.2", "--library-path", ":".join(map(str, folders)))
    found = {}
    for version in runtimes:
        modules = c_program.node_package(version, folder)
        (runtime,) = modules.glob("onnxruntime-node/bin/*/linux/x64/libonnxruntime.so.1*")
        found[version] = last_line(run(*loader, program, runtime, library, cases))
    return {"C library": _OLD_LIBC, "says": found}
