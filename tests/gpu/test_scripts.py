"""What run.sh and prepare.sh make of their parts, with programs in the place of Python, GPU and sanitizer."""

from __future__ import annotations

import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

_ROOT = Path(__file__).resolve().parents[2]
_PARTS = [
    *("what was brought", "install ort_rrelu", "install onnxruntime", "install beside"),
    *("kernels", "benchmark", "onnxruntime", "torch", "benchmark, onnxruntime", "compile"),
    *("memcheck", "synccheck"),
]

_NVIDIA_SMI = (
    "#!/bin/sh\necho 'name, driver_version, memory.total [MiB]'\necho 'A GPU on paper, 580.65, 1 MiB'\n"
)

_WHEELS = [
    *("ort_rrelu-1-py3-none-linux_x86_64.whl", "onnxruntime_gpu-1-cp312-cp312-linux.whl"),
    "pytest-1-py3-none-any.whl",
]

# Each part has a word in its command, and does what the variable of that word says.
_PYTHON = """#!/usr/bin/env bash
[ "$2" = pip ] && { ls "${@: -1}" || exit 1; }
[ "$2" = tests.benchmarks.gpu ] && echo '{}' >"$3"
case "$*" in *"$FAULT_IN"*) eval "$FAULT" ;; esac
echo "5 passed in 1s"
"""
_SANITIZER = """#!/usr/bin/env bash
[ "$3 $4" = "--kernel-name kns=ort_rrelu" ] && [ "$PYTORCH_NO_CUDA_MEMORY_CACHING" = 1 ] && exec "${@:7}"
"""


@dataclass(frozen=True)
class _Result:
    code: int
    rows: dict[str, str]
    printed: str
    out: Path


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of the scripts, wheels of no bytes, the source of one of them, and the programs."""
    root = tmp_path / "checkout"
    (root / "tests" / "gpu").mkdir(parents=True)
    shutil.copy(_ROOT / "tests/gpu/run.sh", root / "tests/gpu/run.sh")
    (root / ".gpu").mkdir()
    for wheel in _WHEELS:
        (root / ".gpu" / wheel).touch()
    (root / "ops").mkdir()
    (root / "ops" / "kernels.cu").write_text("a kernel", "utf-8")
    sums = "sha256sum ops/* >.gpu/sources; cd .gpu; sha256sum ./*.whl >sha256"
    subprocess.run(sums, shell=True, check=True, cwd=root)
    (root / "bin").mkdir()
    for name, text in {
        "nvidia-smi": _NVIDIA_SMI,
        "a-python": _PYTHON,
        "compute-sanitizer": _SANITIZER,
    }.items():
        (root / "bin" / name).write_text(text, "utf-8")
        (root / "bin" / name).chmod(0o755)
    return root


def _run(root: Path, fault_in: str = "nothing", fault: str = ":", **environment: str) -> _Result:
    path = f"{root / 'bin'}:{os.environ['PATH']}"
    programs = {"PATH": path, "PYTHON": "a-python", "FAULT_IN": fault_in, "FAULT": fault}
    done = subprocess.run(
        ["bash", "tests/gpu/run.sh"],
        cwd=root,
        env={**os.environ, **programs, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    summary = root / "out/gpu/summary.txt"
    lines = summary.read_text("utf-8").splitlines() if summary.exists() else []
    rows = {line[:24].strip(): line[24:].partition(" s  ")[2] for line in lines}
    return _Result(done.returncode, rows, done.stdout + done.stderr, root / "out/gpu")


def test_every_part_runs_in_its_order(checkout: Path) -> None:
    result = _run(checkout)
    assert result.rows == dict.fromkeys(_PARTS, "passed"), result.printed
    assert list(result.rows) == _PARTS
    assert result.code == 0
    assert {path.name for path in result.out.iterdir()} == {
        "device.csv",
        "gpu.json",
        "log.txt",
        "summary.txt",
    }


@pytest.mark.parametrize(
    ("fault_in", "fault", "part", "says"),
    [
        ("test_kernels", "exit 1", "kernels", "FAILED: exit code 1"),
        ("test_kernels", "exit 5", "kernels", "FAILED: exit code 5"),
        ("test_torch", "echo 1 passed, 2 skipped in 1s; exit 0", "torch", "LEFT OUT: tests were skipped"),
        ("test_compile", "echo 7 skipped in 1s; exit 0", "compile", "LEFT OUT: tests were skipped"),
        ("gpu_onnxruntime", "exit 3", "benchmark, onnxruntime", "FAILED: exit code 3"),
        ("sanitized", "exit 9", "synccheck", "FAILED: exit code 9"),
    ],
)
def test_a_part_that_fails_or_is_left_out_fails_all(
    checkout: Path, fault_in: str, fault: str, part: str, says: str
) -> None:
    result = _run(checkout, fault_in, fault)
    assert result.code == 1
    assert result.rows[part] == says
    others = {name: told for name, told in result.rows.items() if name not in {part, "memcheck"}}
    assert set(others.values()) == {"passed"}  # one part does not stop the others


def test_time_is_limited_in_all(checkout: Path) -> None:
    """Even where what a part started outlives it and keeps its output open."""
    result = _run(checkout, "test_kernels", "setsid sleep 60 & sleep 60", LIMIT="3")
    assert result.code == 1
    assert result.rows["kernels"] == "FAILED: it took too long"
    assert result.rows["synccheck"] == "LEFT OUT: no time was left"
    assert list(result.rows)[: len(_PARTS)] == _PARTS


def test_results_are_few_and_small(checkout: Path) -> None:
    result = _run(checkout, "test_kernels", "head -c 40M /dev/zero")
    assert result.code == 0
    assert (result.out / "log.txt").stat().st_size < 2 << 20
    many = _run(checkout, "test_torch", "touch out/gpu/{1..5}")
    assert (many.code, many.rows["files"]) == (1, "FAILED: 9 files, and 8 is the most")
    large = _run(checkout, "test_torch", "rm out/gpu/[1-5]; truncate -s 17M out/gpu/1")
    assert large.code == 1
    assert large.rows["files"].startswith("FAILED: more than 16 MiB: out/gpu/1")


@pytest.mark.parametrize("wheel", ["ort_rrelu", "onnxruntime_gpu", "pytest"])
def test_what_was_not_brought_or_is_damaged_fails(checkout: Path, wheel: str) -> None:
    (path,) = (checkout / ".gpu").glob(f"{wheel}-*")
    path.write_bytes(b"other bytes")
    assert _run(checkout).rows["what was brought"] == "FAILED: exit code 1"
    path.unlink()
    result = _run(checkout)
    part = "beside" if wheel == "pytest" else wheel.removesuffix("_gpu")
    assert result.rows[f"install {part}"].startswith("FAILED")
    assert result.code == 1


def test_a_wheel_of_other_sources_fails(checkout: Path) -> None:
    """Else what is tested is not what lies there."""
    (checkout / "ops" / "kernels.cu").write_text("a newer kernel", "utf-8")
    result = _run(checkout)
    assert result.rows["what was brought"] == "FAILED: exit code 1"
    assert "ops/kernels.cu: FAILED" in result.printed
    assert result.code == 1


def test_without_a_gpu_nothing_runs(checkout: Path) -> None:
    (checkout / "bin" / "nvidia-smi").write_text("#!/bin/sh\nexit 9\n", "utf-8")
    result = _run(checkout)
    assert result.code == 1
    assert "there is no NVIDIA GPU here" in result.printed


# Builds and fetches wheels of no bytes. The thin one has as many as the variable says.
_BUILDER = """#!/usr/bin/env bash
case "$*" in
  *"pip wheel"*) touch .gpu/ort_rrelu-1-py3-none-linux_x86_64.whl ;;
  *"pip download"*onnxscript*) mkdir -p build/gpu/part && touch build/gpu/part/pytest-1-py3-none-any.whl ;;
  *"pip download"*) touch build/gpu/onnxruntime_gpu-1.31.1-cp312-cp312-linux.whl && echo downloaded ;;
  *thin_wheel*" 90") truncate -s "$THIN" "$4" ;;
  *) exit 1 ;;
esac
"""


def _prepare(root: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    (root / "bin" / "a-python").write_text(_BUILDER, "utf-8")
    shutil.copy(_ROOT / "tests/gpu/prepare.sh", root / "tests/gpu/prepare.sh")
    subprocess.run("git init -q && git add tests ops", shell=True, check=True, cwd=root)
    return subprocess.run(
        ["bash", "tests/gpu/prepare.sh"],
        cwd=root,
        env={
            **os.environ,
            "PATH": f"{root / 'bin'}:{os.environ['PATH']}",
            "PYTHON": "a-python",
            **environment,
        },
        capture_output=True,
        text=True,
        check=False,
    )


def test_what_is_prepared_passes_where_it_is_brought(checkout: Path) -> None:
    prepared = _prepare(checkout, THIN="30M")
    assert (prepared.returncode, prepared.stderr) == (0, "")
    assert "this repository, and .gpu in it: 31 MiB in all" in prepared.stdout
    assert "downloaded" not in _prepare(checkout, THIN="30M").stdout  # once is enough
    (checkout / "bin" / "a-python").write_text(_PYTHON, "utf-8")
    assert _run(checkout).rows == dict.fromkeys(_PARTS, "passed")


def test_more_than_can_travel_is_refused(checkout: Path) -> None:
    prepared = _prepare(checkout, THIN="60M")
    assert prepared.returncode == 1
    assert "That is more than 60 MiB" in prepared.stderr


_IMPORTED = """
import importlib.metadata, pkgutil, sys
import tests.benchmarks.gpu, tests.benchmarks.gpu_onnxruntime, tests.gpu
for module in pkgutil.iter_modules(tests.gpu.__path__, "tests.gpu."):
    __import__(module.name)
owners = importlib.metadata.packages_distributions()
names = {name.partition(".")[0] for name in sys.modules}
print(*{owner.lower() for name in names for owner in owners.get(name, [])})
"""


def _with_what_they_need(names: set[str]) -> set[str]:
    """Packages, and what they bring along on this system."""
    installed = {distribution.name.lower() for distribution in importlib.metadata.distributions()}
    for name in sorted(names):
        lines = importlib.metadata.requires(name) or []
        needed = {re.split(r"[^\w.-]", line)[0].lower() for line in lines if "extra ==" not in line}
        if not needed & installed <= names:
            return _with_what_they_need(names | (needed & installed))
    return names


def test_what_the_tests_import_is_brought_or_is_there() -> None:
    """There, as the documentation says: torch, numpy, onnx, and what these need."""
    script = (_ROOT / "tests/gpu/prepare.sh").read_text("utf-8")
    beside = re.search(r"^beside=\((.*?)\)", script, re.MULTILINE)
    assert beside
    brought = {*beside[1].split(), "ort-rrelu", "onnxruntime"}
    printed = subprocess.check_output([sys.executable, "-c", _IMPORTED], cwd=_ROOT, text=True)
    assert {"torch", "onnxscript"} < set(printed.split())
    assert set(printed.split()) <= _with_what_they_need({"torch", "numpy", "onnx"}) | brought
