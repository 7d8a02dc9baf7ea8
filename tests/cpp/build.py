"""The C++ programs of the tests and benchmarks, built with CMake."""

from __future__ import annotations

import subprocess
import sysconfig
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[2]
_SCRIPTS = Path(sysconfig.get_path("scripts"))  # cmake and ctest come with the `test` extra
_BUILD = _ROOT / "build" / "cpp"  # kept: a second run compiles nothing


def run(*command: str | Path) -> str:
    """The output of a command of the environment, which must succeed."""
    program, *arguments = map(str, command)
    result = subprocess.run([_SCRIPTS / program, *arguments], capture_output=True, text=True, check=False)
    assert result.returncode == 0, f"{command}:\n{result.stdout}{result.stderr}"
    return result.stdout


_WANTED = {"ONNXRUNTIME_INCLUDE_DIR": "onnxruntime_c_api.h", "HIGHWAY_SOURCE_DIR": "hwy/targets.cc"}


def _fetched(file: str) -> str | None:
    """The folder that holds `file`, where another build fetched it before."""
    paths = sorted((_ROOT / "build").glob(f"*/native_sources/**/{file}"))
    return str(paths[0]).removesuffix(file) if paths else None


def fetched_sources(*variables: str) -> list[str]:
    """CMake arguments that name native sources which another build fetched: no second fetch."""
    found = ((name, _fetched(_WANTED[name])) for name in variables or _WANTED)
    return [f"-D{name}={folder}" for name, folder in found if folder]


def build(target: str = "all") -> Path:
    """Build a target of CMakeLists.txt; returns the build folder."""
    options = [
        "-DORT_RRELU_BUILD_TESTS=ON",
        "-DORT_RRELU_WERROR=ON",
        "-DORT_RRELU_CUDA=OFF",
        *fetched_sources(),
    ]
    run("cmake", "-S", _ROOT, "-B", _BUILD, *options)
    run("cmake", "--build", _BUILD, "--parallel", "2", "--target", target)
    return _BUILD
