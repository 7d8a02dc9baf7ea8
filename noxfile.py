"""Environments that `make test` does not have: old and new ONNX Runtimes, and the wheel alone.

`nox` runs every session, `nox -s wheel` one. The wheel is built once, when it is older than its sources.
"""

from __future__ import annotations

import re
from pathlib import Path

import nox

nox.options.default_venv_backend = "venv"
nox.options.stop_on_first_error = False

_ROOT = Path(__file__).parent
_CONSTRAINTS = ("-q", "-c", "constraints.txt")
_NUMPY_1 = "numpy <2"  # what the oldest releases were built with

# Version -> what else it needs. The oldest that works, two on the way (custom shape inference is off in the
# first and on in the second), the newest.
_ONNX_RUNTIMES = {"1.17.3": (_NUMPY_1,), "1.19.2": (), "1.24.4": (), "1.31.1": ()}
_TOO_OLD = "1.16.3"

# What depends on ONNX Runtime.
_TESTS = [
    "tests/test_bad_models.py",
    "tests/test_concurrency.py",
    "tests/test_known_answers.py",
    "tests/test_parity.py",
    "tests/test_session.py",
    "tests/test_step_counter.py",
]


def _changed() -> float:
    """When the newest source of the wheel was changed."""
    files = [_ROOT / name for name in ("CMakeLists.txt", "LICENSE", "README.md", "pyproject.toml")]
    for folder in ("cmake", "ops", "python"):
        files += [path for path in (_ROOT / folder).rglob("*") if path.is_file() and path.suffix != ".pyc"]
    return max(path.stat().st_mtime for path in files)


def _wheel(session: nox.Session) -> str:
    wheels = list((_ROOT / "dist").glob("ort_rrelu-*.whl"))
    if len(wheels) != 1 or wheels[0].stat().st_mtime < _changed():
        for wheel in wheels:
            wheel.unlink()
        session.run("python", "-m", "pip", "wheel", "-q", "--no-deps", "-w", "dist", ".", silent=False)
        wheels = list((_ROOT / "dist").glob("ort_rrelu-*.whl"))
    return str(wheels[0])


def _readme_example() -> str:
    """The first Python block of README.md whose first line imports ort_rrelu."""
    text = (_ROOT / "README.md").read_text("utf-8")
    blocks: list[str] = re.findall(r"^```python\n(.*?)^```$", text, re.M | re.S)
    return next(block for block in blocks if re.search(r"\bimport\b.*\bort_rrelu\b", block.splitlines()[0]))


@nox.session
@nox.parametrize("version", list(_ONNX_RUNTIMES))
def onnxruntime(session: nox.Session, version: str) -> None:
    """The core's tests on one release of ONNX Runtime."""
    packages = [f"onnxruntime=={version}", *_ONNX_RUNTIMES[version], "hypothesis", "pytest"]
    session.install(*_CONSTRAINTS, _wheel(session), *packages)
    session.run("python", "-m", "pytest", "-q", *(session.posargs or _TESTS))


@nox.session
def too_old(session: nox.Session) -> None:
    """The last release that does not work says so."""
    session.install(*_CONSTRAINTS, _wheel(session), f"onnxruntime=={_TOO_OLD}", _NUMPY_1, "pytest")
    session.run("python", "-m", "pytest", "-q", "tests/onnxruntime_too_old.py")


@nox.session
def wheel(session: nox.Session) -> None:
    """The wheel and onnxruntime alone run the example of the README, in an empty folder."""
    session.install(*_CONSTRAINTS, f"{_wheel(session)}[cpu]")
    example = _readme_example()
    session.chdir(session.create_tmp())
    session.run("python", "-c", example)
