"""What sessions install: pinned packages, the wheel, one more environment; and how they run tests."""

from __future__ import annotations

import os
import re
from pathlib import Path

import nox

from tests.documentation import ROOT

# uv reads no settings of pip's. This one says where wheels lie, such as torch's for the CPU.
if "PIP_FIND_LINKS" in os.environ:
    os.environ.setdefault("UV_FIND_LINKS", ",".join(os.environ["PIP_FIND_LINKS"].split()))

NUMPY_1 = ("numpy==1.26.4", "ml_dtypes==0.5.4")  # what the oldest releases were built with
# The oldest that is allowed, and what it needs. make test has the newest, make matrix all between.
OLDEST = "1.17.3"
_PINNED = (ROOT / "constraints.txt").read_text("utf-8").splitlines(keepends=True)
(NEWEST,) = (line.partition("==")[2].strip() for line in _PINNED if line.startswith("onnxruntime=="))
# Where models run without the library, too.
BETWEEN = {OLDEST: NUMPY_1, "1.19.2": (), "1.20.1": (), "1.24.4": (), NEWEST: ()}
PYTEST = ("hypothesis", "pytest", "pytest-xdist")
FEW_TESTS = ("tests/core/test_parity.py", "tests/core/test_known_answers.py")
RUN_TESTS = ("python", "-m", "pytest", "-q", "-n", "auto", "--dist", "worksteal", "--disable-warnings")


def pinned(session: nox.Session, packages: tuple[str, ...]) -> list[str]:
    """uv's arguments for packages: constraints.txt holds, except for those that are chosen here."""
    versions = (re.match(r"([\w-]+) ?[<>=]=?", package) for package in packages)
    chosen = {version[1] for version in versions if version}
    constraints = Path(session.virtualenv.location).resolve() / "constraints.txt"
    constraints.write_text(
        "".join(line for line in _PINNED if line.partition("==")[0] not in chosen), "utf-8"
    )
    return ["-q", "-c", str(constraints), *packages]


def install(session: nox.Session, *packages: str, env: dict[str, str] | None = None) -> None:
    session.install(*pinned(session, packages), env=env)


def another_python(session: nox.Session, folder: Path, *packages: str) -> str:
    """The Python of one more environment."""
    python = str(folder / "bin" / "python")
    session.run("uv", "venv", "-q", "--clear", str(folder))
    session.run("uv", "pip", "install", "--python", python, *pinned(session, packages))
    return python


def _changed() -> float:
    """When the newest source of the wheel was changed."""
    files = [ROOT / name for name in ("CMakeLists.txt", "LICENSE", "README.md", "pyproject.toml")]
    for folder in ("cmake", "ops", "python", "third_party"):
        files += [path for path in (ROOT / folder).rglob("*") if path.is_file() and path.suffix != ".pyc"]
    return max(path.stat().st_mtime for path in files)


def build_settings(**values: str) -> list[str]:
    """uv's options for the build, with a CMake define for each name in capitals."""
    names = {name: f"cmake.define.{name}" if name.isupper() else name.replace("_", "-") for name in values}
    return [word for name, value in values.items() for word in ("-C", f"{names[name]}={value}")]


# One architecture compiles in seconds; the device of a machine that CI runs on is none anyway.
KERNELS = {
    "cpu": build_settings(ORT_RRELU_CUDA="OFF"),
    "cuda": build_settings(
        ORT_RRELU_CUDA="ON", ORT_RRELU_WERROR="ON", CMAKE_CUDA_ARCHITECTURES="90-real", build_dir="build/cuda"
    ),
}


def built_wheel(session: nox.Session, kernels: str = "cpu") -> str:
    folder = ROOT / "dist" / kernels
    wheels = list(folder.glob("ort_rrelu-*.whl"))
    if len(wheels) != 1 or wheels[0].stat().st_mtime < _changed():
        for wheel in wheels:
            wheel.unlink()
        session.run("uv", "build", "-q", "--wheel", *KERNELS[kernels], "--out-dir", str(folder), ".")
        wheels = list(folder.glob("ort_rrelu-*.whl"))
    return str(wheels[0])


def run_tests(session: nox.Session, *tests: str, **env: str) -> None:
    """Run tests, or those that the command line names behind `--`; one thread a worker, a worker a core."""
    arguments = session.posargs or tests
    session.run(*RUN_TESTS, *arguments, env={"OMP_NUM_THREADS": "1", **env})


def example_of(session: nox.Session, page: str, language: str) -> str:
    """The first block of code of that language in a page of docs/."""
    return str(session.run("python", "-m", "tests.documentation", page, language, silent=True))
