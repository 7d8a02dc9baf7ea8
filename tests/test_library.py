"""The shared library as a file: what it exports, what it links, what it says of itself."""

from __future__ import annotations

import subprocess
import sys
from importlib import metadata
from pathlib import Path

import onnxruntime
import pytest

import ort_rrelu
from ort_rrelu import library, reserve_layout


def _lines(*command: str) -> list[str]:
    return subprocess.check_output([*command, ort_rrelu.get_library_path()], text=True).splitlines()


def test_path_is_absolute_and_exists() -> None:
    path = Path(ort_rrelu.get_library_path())
    assert path.is_absolute()
    assert path.is_file()


def test_exports_nothing_but_its_interface() -> None:
    names = {line.split()[-1] for line in _lines("nm", "-D", "--defined-only")}
    assert names == {
        "RegisterCustomOps",
        "ort_rrelu_abi",
        "ort_rrelu_backward",
        "ort_rrelu_backward_reserve",
        "ort_rrelu_build_info",
        "ort_rrelu_check",
        "ort_rrelu_forward",
        "ort_rrelu_reserve_bytes",
    }


def test_links_the_c_library_alone() -> None:
    """No libonnxruntime, libpython or libstdc++: one file for every Python and every ONNX Runtime."""
    needed = {
        line.split("[")[1].split(".so")[0] for line in _lines("readelf", "--dynamic") if "(NEEDED)" in line
    }
    assert needed <= {"libc", "libm", "libpthread", "libdl", "ld-linux-x86-64", "ld-linux-aarch64"}
    assert "libc" in needed


def test_build_info() -> None:
    info = library.build_info()
    assert info["version"] == ort_rrelu.__version__ == metadata.version("ort-rrelu")
    assert info["onnxruntime_oldest"] == "1.17"
    assert set(info) == {
        "version",
        "abi",
        "compiler",
        "instruction_set",
        "onnxruntime_headers",
        "onnxruntime_oldest",
        "kernels",
    }
    assert list(info["kernels"]["cpu"]) == ["float", "double", "float16", "bfloat16"]


def test_importing_the_package_imports_no_framework() -> None:
    code = "import sys, ort_rrelu; print({'onnxruntime', 'torch'} & set(sys.modules))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "set()"


def test_names_of_the_package_are_there() -> None:
    lazy = {"InferenceSession", "evaluator", "register"}
    assert {*ort_rrelu.__all__, *lazy} <= set(dir(ort_rrelu))
    assert issubclass(ort_rrelu.InferenceSession, onnxruntime.InferenceSession)
    with pytest.raises(AttributeError, match="module 'ort_rrelu' has no attribute 'rreluu'"):
        ort_rrelu.rreluu  # noqa: B018


_FLOATS = library.Params(1, training=True)


@pytest.mark.parametrize(
    ("params", "begin", "end", "message"),
    [
        (_FLOATS, 4, 8, r"range \[4, 8\): begin must be a multiple of 8, and at most end"),
        (_FLOATS, 16, 8, r"range \[16, 8\): begin must be a multiple of 8, and at most end"),
        (
            library.Params(7),
            0,
            8,
            r"dtype=7 is not supported: it must be float \(1\), float16",
        ),
    ],
    ids=["odd begin", "end before begin", "dtype"],
)
def test_refused_calls(params: library.Params, begin: int, end: int, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}"):
        library.forward(params, 4096, 8192, None, begin, end)


@pytest.mark.parametrize(
    ("x", "y", "noise", "message"),
    [
        (4096, 4096 + 4, None, "y overlaps x: it must be the same array or apart"),
        (4096 + 28, 4096, None, "y overlaps x: it must be the same array or apart"),
        (4096, 8192, 4096, "noise overlaps x: it must be apart"),
        (4096, 8192, 8192 + 28, "noise overlaps y: it must be apart"),
        (0, 4096, None, "x is null"),
        (4096, 0, None, "y is null"),
    ],
)
def test_refused_addresses(x: int, y: int, noise: int | None, message: str) -> None:
    """The addresses are never followed: a call that is refused computes nothing."""
    with pytest.raises(ValueError, match=f"^{message}$"):
        library.forward(_FLOATS, x, y, noise, 0, 8)


@pytest.mark.parametrize(
    ("dy", "noise", "dx", "message"),
    [
        (4096, 8192, 4096 + 4, "dx overlaps dy: it must be the same array or apart"),
        (4096, 8192, 8192 + 4, "dx overlaps noise: it must be the same array or apart"),
        (4096, 0, 8192, "noise is null"),
    ],
)
def test_refused_addresses_of_gradients(dy: int, noise: int, dx: int, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}$"):
        library.backward(_FLOATS, dy, noise, dx, 0, 8)


# 20 floats, and the 67 bytes of their reserve. Only a range's part of the other arrays counts.
@pytest.mark.parametrize(
    ("x", "y", "noise", "reserve", "message"),
    [
        (4096, 8192, None, 4096 + 79, "reserve overlaps x: it must be apart"),
        (4096 + 66, 8192, None, 4096, "reserve overlaps x: it must be apart"),
        (4096, 8192, None, 8192, "reserve overlaps y: it must be apart"),
        (4096, 8192, 12288, 12288 - 66, "reserve overlaps noise: it must be apart"),
    ],
)
def test_refused_addresses_of_reserves(x: int, y: int, noise: int | None, reserve: int, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}$"):
        library.forward(_FLOATS, x, y, noise, 0, 20, reserve=reserve)


@pytest.mark.parametrize(
    ("dy", "reserve", "dx", "message"),
    [
        (4096, 8192, 4096 + 4, "dx overlaps dy: it must be the same array or apart"),
        (4096, 8192, 8192 + 66, "dx overlaps reserve: it must be apart"),
        (4096, 8192, 8192, "dx overlaps reserve: it must be apart"),
        (4096, 0, 8192, "reserve is null"),
        (0, 4096, 8192, "dy is null"),
        (4096, 8192, 0, "dx is null"),
    ],
)
def test_refused_addresses_of_gradients_from_reserves(dy: int, reserve: int, dx: int, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}$"):
        library.backward_reserve(_FLOATS, dy, reserve, 67, dx, 20, 0, 20)


@pytest.mark.parametrize(("begin", "end"), [(0, 12), (0, 24), (8, 28), (16, 19)])
def test_refused_ranges_of_a_tensor(begin: int, end: int) -> None:
    """A byte of a reserve belongs to one call."""
    message = (
        rf"^range \[{begin}, {end}\) of 20 elements: end must be a multiple of 8, or the number of elements$"
    )
    with pytest.raises(ValueError, match=message):
        library.forward(_FLOATS, 4096, 8192, None, begin, end, size=20)
    with pytest.raises(ValueError, match=message):
        library.backward_reserve(_FLOATS, 4096, 8192, 67, 12288, 20, begin, end)


@pytest.mark.parametrize(
    ("size", "count"), [(0, 64), (1, 65), (8, 65), (9, 66), (2**35 + 1, 2**32 + 65), (2**64 - 1, 2**61 + 64)]
)
def test_bytes_of_a_reserve(size: int, count: int) -> None:
    assert library.reserve_bytes(size) == reserve_layout.byte_count(size) == count


def test_empty_ranges_need_no_addresses() -> None:
    library.forward(_FLOATS, 0, 0, None, 0, 0)
    library.backward(_FLOATS, 0, 0, 0, 8, 8)
