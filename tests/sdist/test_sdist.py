"""The source archive: what it holds, where the build takes its parts from, and what if files are missing."""

from __future__ import annotations

import os
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

ARCHIVE = Path(os.environ["ORT_RRELU_SDIST"])
_LICENSES = ("highway/LICENSE", "highway/LICENSE-BSD3", "onnxruntime/LICENSE")
_SOURCES = ("highway/hwy/ops/arm_sve-inl.h", "highway/hwy/targets.cc", "onnxruntime/onnxruntime_c_api.h")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(tmp_path, filter="data")
    return tmp_path / ARCHIVE.name.removesuffix(".tar.gz")


def _configure(source: Path, *options: str) -> tuple[int, str]:
    settings = ("-G", "Ninja", "-DORT_RRELU_CUDA=OFF", "-DCMAKE_MESSAGE_LOG_LEVEL=STATUS", *options)
    command = ["cmake", "-S", str(source), "-B", str(source / "build"), *settings]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    return result.returncode, result.stdout + result.stderr


def test_it_holds_each_file_once_and_lists_what_the_build_needs(source: Path) -> None:
    with tarfile.open(ARCHIVE) as archive:
        names = archive.getnames()
    assert len(names) == len(set(names))
    listed = (source / "FILES").read_text("utf-8").splitlines()
    assert {f"{source.name}/{name}" for name in listed} <= set(names)
    folders = ("cmake", "ops", "python", "third_party")
    files = {str(p.relative_to(source)) for f in folders for p in (source / f).rglob("*") if p.is_file()}
    assert files == {name for name in listed if "/" in name}
    assert {f"third_party/{name}" for name in _LICENSES + _SOURCES} <= files


def test_its_own_parts_come_after_those_that_are_given(source: Path, tmp_path: Path) -> None:
    given = tmp_path / "given"
    shutil.copytree(source / "third_party/highway", given)
    code, output = _configure(source, f"-DHIGHWAY_SOURCE_DIR={given}")
    assert not code, output
    assert f"highway: {given}" in output
    assert f"onnxruntime: {source}/third_party/onnxruntime" in output


@pytest.mark.parametrize(
    "name", ["ops/rrelu.cc", "python/ort_rrelu/graph/lower.py", "third_party/highway/hwy/ops/x86_256-inl.h"]
)
def test_a_file_is_missing(name: str, source: Path) -> None:
    (source / name).unlink()
    code, output = _configure(source)
    assert code
    assert f"missing in {source}" in " ".join(output.split())
    assert name in output.split()
    assert "Unpack the archive again." in output


def test_there_is_no_compiler(source: Path, tmp_path: Path) -> None:
    build = [
        "uv",
        "build",
        "--wheel",
        "--offline",
        "--no-build-isolation",
        "--out-dir",
        str(tmp_path / "out"),
    ]
    environment = {**os.environ, "CXX": "/nowhere/c++"}
    result = subprocess.run(
        [*build, str(source)], env=environment, capture_output=True, text=True, check=False
    )
    assert result.returncode
    assert "Where a compiler is missing, install one for C++17 with" in result.stdout + result.stderr


_BUILD_SDIST = ("uv", "build", "--sdist", "--offline", "--no-build-isolation", "--out-dir")
# There is no git here that says what belongs to the project.
_NOT_OURS = (
    "secret.env",
    ".env",
    "notes/plan.md",
    "ops/.env",
    "python/ort_rrelu/a.key",
    "tests/.hypothesis/seen",
)


def test_an_archive_of_the_unpacked_archive_holds_the_same(source: Path, tmp_path: Path) -> None:
    for name in _NOT_OURS:
        (source / name).parent.mkdir(exist_ok=True)
        (source / name).write_text("secret")
    folder = tmp_path / "again"
    subprocess.run([*_BUILD_SDIST, str(folder), "-q", str(source)], check=True)
    with tarfile.open(ARCHIVE) as first, tarfile.open(folder / ARCHIVE.name) as second:
        assert sorted(first.getnames()) == sorted(second.getnames())


def test_a_readme_that_is_missing_is_named(source: Path, tmp_path: Path) -> None:
    (source / "README.md").unlink()
    command = [*_BUILD_SDIST, str(tmp_path / "out"), str(source)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode
    last = result.stderr.rstrip().splitlines()
    assert any("README.md is missing" in line and "Unpack the archive again" in line for line in last), last
