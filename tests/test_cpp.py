"""The C++ tests: built with CMake, run by CTest."""

from __future__ import annotations

import subprocess
import sysconfig
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[1]
_SCRIPTS = Path(sysconfig.get_path("scripts"))  # cmake and ctest come with the `test` extra
_BUILD = _ROOT / "build" / "cpp"  # kept: a second run compiles nothing


def _run(*command: str | Path) -> str:
    result = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    assert result.returncode == 0, f"{command}:\n{result.stdout}{result.stderr}"
    return result.stdout


def _fetched_sources() -> list[str]:
    """Native sources that another build fetched before, as CMake arguments: no second fetch."""
    wanted = {"ONNXRUNTIME_INCLUDE_DIR": "onnxruntime_c_api.h", "HIGHWAY_SOURCE_DIR": "hwy/targets.cc"}
    found = []
    for variable, file in wanted.items():
        folders = sorted((_ROOT / "build").glob(f"*/native_sources/**/{file}"))
        if folders:
            found.append(f"-D{variable}={str(folders[0]).removesuffix(file)}")
    return found


def test_ctest() -> None:
    """One test for all, so that pytest-xdist never builds twice in one folder."""
    options = [
        "-DORT_RRELU_BUILD_TESTS=ON",
        "-DORT_RRELU_WERROR=ON",
        "-DORT_RRELU_CUDA=OFF",
        *_fetched_sources(),
    ]
    _run(_SCRIPTS / "cmake", "-S", _ROOT, "-B", _BUILD, *options)
    _run(_SCRIPTS / "cmake", "--build", _BUILD, "--parallel", "2")
    _run(_SCRIPTS / "ctest", "--test-dir", _BUILD, "--no-tests=error", "--output-on-failure")
