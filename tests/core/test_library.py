"""The shared library as a file: what it exports, what it links, what it says of itself."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any, cast

import numpy as np
import onnxruntime
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from onnx import TensorProto

import ort_rrelu
from ort_rrelu import library, schema
from tests.onnx_models import DOUBLE, DTYPES, FLOAT


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
        "ort_rrelu_cuda_backward",
        "ort_rrelu_cuda_backward_reserve",
        "ort_rrelu_cuda_fault",
        "ort_rrelu_cuda_forward",
        "ort_rrelu_forward",
        "ort_rrelu_reserve_bytes",
        "ort_rrelu_reserve_bytes_of_rows",
    }


def test_links_the_c_library_alone() -> None:
    """No libonnxruntime, libpython or libstdc++: one file for every Python and every ONNX Runtime."""
    needed = {
        line.split("[")[1].split(".so")[0] for line in _lines("readelf", "--dynamic") if "(NEEDED)" in line
    }
    assert needed <= {"libc", "libm", "libpthread", "libdl", "ld-linux-x86-64", "ld-linux-aarch64"}
    assert "libc" in needed


def _without_a_right_library(folder: Path, name: str, content: bytes) -> str:
    """What a copy of the package says that has such a library and no other."""
    installed = Path(ort_rrelu.get_library_path())
    copy = folder / "ort_rrelu"
    shutil.copytree(installed.parent, copy, ignore=shutil.ignore_patterns(installed.name, "__pycache__"))
    (copy / name).write_bytes(content)
    code = "from ort_rrelu import library; library.build_info()"
    env = os.environ | {"PYTHONPATH": str(folder)}
    result = subprocess.run(
        [sys.executable, "-c", code], env=env, capture_output=True, text=True, check=False
    )
    assert str(copy / installed.name) in result.stderr
    return result.stderr.splitlines()[-1]


def test_a_library_of_another_system_is_named(tmp_path: Path) -> None:
    message = _without_a_right_library(tmp_path, "ort_rrelu.dll", b"MZ")
    assert "does not exist, but ort_rrelu.dll: the package was installed for another system;" in message
    assert message.endswith(
        "install ort-rrelu again here, with the pip of this Python and without --platform"
    )


_REMEDY = (
    "install ort-rrelu again here, its wheel for this system with `pip install --force-reinstall` or its "
    "sources with `pip install .`"
)


def _installed_bytes() -> bytearray:
    return bytearray(Path(ort_rrelu.get_library_path()).read_bytes())


@pytest.mark.parametrize("what", ["of another processor", "damaged", "empty"])
def test_a_library_that_cannot_be_loaded_says_what_to_do(what: str, tmp_path: Path) -> None:
    content = _installed_bytes()
    if what == "of another processor":
        content[18:20] = b"\x28\x00"  # e_machine: ARM of 32 bits
    else:
        content = bytearray(4096 if what == "damaged" else 0)
    message = _without_a_right_library(tmp_path, Path(ort_rrelu.get_library_path()).name, bytes(content))
    assert "cannot be loaded (" in message
    assert message.endswith(_REMEDY)


@pytest.mark.skipif(sys.platform != "linux", reason="it is the loader of Linux that does not compare lengths")
@pytest.mark.parametrize("part", [0, 0.001, 0.5, 0.9])
def test_a_library_that_is_cut_off_is_not_loaded(part: float, tmp_path: Path) -> None:
    """Linux's loader would end Python with a bus error."""
    content = _installed_bytes()
    size = max(64, int(len(content) * part))
    message = _without_a_right_library(
        tmp_path, Path(ort_rrelu.get_library_path()).name, bytes(content[:size])
    )
    assert f"is cut off: it has {size} bytes of at least " in message
    assert message.endswith(_REMEDY)


@pytest.mark.skipif(sys.platform != "linux", reason="libm.so.6 is Linux's")
def test_another_library_under_our_name_is_named(tmp_path: Path) -> None:
    (other,) = (line.split()[2] for line in _lines("ldd") if line.split()[0].startswith("libc.so"))
    name = Path(ort_rrelu.get_library_path()).name
    message = _without_a_right_library(tmp_path, name, Path(other).with_name("libm.so.6").read_bytes())
    assert "is another library, or one of another release (" in message
    assert message.endswith(_REMEDY)


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
        "cuda",
        "kernels",
    }
    assert set(info["kernels"]) == ({"cpu", "cuda"} if info["cuda"] else {"cpu"})
    for dtypes in info["kernels"].values():
        assert dtypes == ["float", "double", "float16", "bfloat16"]


def test_build_info_of_cuda() -> None:
    """`make test` has a library without CUDA kernels, nox -s onnxruntime_gpu one with them."""
    info = library.build_info()["cuda"]
    if info is None:
        assert "cuda" not in library.build_info()["kernels"]
        return
    assert set(info) == {"toolkit", "minimum_driver", "architectures", "ptx"}
    assert info["minimum_driver"].split(".")[0] == {"12": "525", "13": "580"}[info["toolkit"].split(".")[0]]
    assert info["architectures"] == sorted(info["architectures"], key=float)


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
    assert library.reserve_bytes(size) == schema.reserve_bytes(size) == count


def test_empty_ranges_need_no_addresses() -> None:
    library.forward(_FLOATS, 0, 0, None, 0, 0)
    library.backward(_FLOATS, 0, 0, 0, 8, 8)


_NUMBERS = st.one_of(
    st.sampled_from([0, 8, 20, 2**64 - 8, 2**64 - 1]),
    st.builds(
        lambda power, more: 2**power + more, st.sampled_from([60, 61, 62, 63]), st.sampled_from([-8, 0, 8])
    ),
)
_CUDA = library.CudaCall()
_CALLS_WITH_NULL: dict[str, Callable[[library.Params, int, int, int], None]] = {
    "forward": lambda p, n, i, j: library.forward(p, 0, 0, None, i, j, size=n),
    "backward": lambda p, n, i, j: library.backward(p, 0, 0, 0, i, j),
    "backward from a reserve": lambda p, n, i, j: library.backward_reserve(
        p, 0, 0, library.reserve_bytes(n), 0, n, i, j
    ),
    "forward on CUDA": lambda p, n, i, j: library.cuda_forward(p, _CUDA, 0, 0, None, i, j, size=n),
    "backward on CUDA": lambda p, n, i, j: library.cuda_backward(p, _CUDA, 0, 0, 0, i, j),
    "backward from a reserve on CUDA": lambda p, n, i, j: library.cuda_backward_reserve(
        p, _CUDA, 0, 0, library.reserve_bytes(n), 0, n, i, j
    ),
}


@pytest.mark.parametrize("call", _CALLS_WITH_NULL.values(), ids=_CALLS_WITH_NULL)
@given(dtype=st.sampled_from(list(DTYPES)), size=_NUMBERS, begin=_NUMBERS, end=_NUMBERS)
@example(dtype=FLOAT, size=2**62, begin=0, end=2**62)
def test_no_range_of_null_is_followed(
    call: Callable[[library.Params, int, int, int], None], dtype: int, size: int, begin: int, end: int
) -> None:
    """Whatever the range is: where it has elements, null is refused."""
    if begin != end:
        with pytest.raises(ort_rrelu.Error):
            call(library.Params(dtype, training=True), size, begin, end)


@pytest.mark.parametrize(
    ("dtype", "end"),
    [(FLOAT, 2**62), (DOUBLE, 2**61), (TensorProto.FLOAT16, 2**63), (TensorProto.BFLOAT16, 2**63)],
)
def test_ranges_beyond_all_addresses(dtype: int, end: int) -> None:
    size = 2**64 // end
    rule = f"end must be at most {end - 1}, where addresses end"
    message = rf"^range \[0, {end}\) of elements of {size} bytes: {rule}$"
    with pytest.raises(ValueError, match=message):
        library.forward(library.Params(dtype), 0, 0, None, 0, end)
    with pytest.raises(ValueError, match=message):
        library.backward(library.Params(dtype), 4096, 8192, 8192, 0, end)


def test_arrays_beyond_the_last_address() -> None:
    last = 2**64 - 32
    library.check(_FLOATS)
    message = rf"has 32 bytes from address {last} on: they must end before 2\^64$"
    for arguments in [(last, 4096, None), (4096, last, None), (4096, 8192, last)]:
        with pytest.raises(ValueError, match=message):
            library.forward(_FLOATS, *arguments, 0, 8)


@pytest.mark.parametrize("value", [-1, 2**64, 2**64 + 4096])
@pytest.mark.parametrize("name", ["x", "y", "noise", "begin", "end", "size", "reserve"])
def test_numbers_that_c_would_cut_off(name: str, value: int) -> None:
    arguments: dict[str, Any] = {"x": 4096, "y": 8192, "noise": None, "begin": 0, "end": 8, "size": 8}
    arguments[name] = value
    with pytest.raises(ort_rrelu.Error, match=rf"^{name}={value}: it must be from 0 to {2**64 - 1}$"):
        library.forward(_FLOATS, **arguments)


@pytest.mark.parametrize("value", [-(2**31) - 1, 2**31, 2**32 + 1])
@pytest.mark.parametrize("name", ["dtype", "training", "num_threads"])
def test_parameters_that_c_would_cut_off(name: str, value: int) -> None:
    params = library.Params(FLOAT)._replace(**{name: cast("Any", value)})
    with pytest.raises(
        ort_rrelu.Error, match=rf"^{name}={value}: it must be from {-(2**31)} to {2**31 - 1}$"
    ):
        library.check(params)


@pytest.mark.parametrize("size", [-1, 2**64])
def test_sizes_that_no_reserve_has(size: int) -> None:
    with pytest.raises(ort_rrelu.Error, match=rf"^size={size}: it must be from 0 to {2**64 - 1}$"):
        library.reserve_bytes(size)


_ON_CUDA: dict[str, Callable[[library.CudaCall], None]] = {
    "forward": lambda call: library.cuda_forward(_FLOATS, call, 4096, 8192, None, 0, 8),
    "backward": lambda call: library.cuda_backward(_FLOATS, call, 4096, 8192, 16384, 0, 8),
    "backward from a reserve": lambda call: library.cuda_backward_reserve(
        _FLOATS, call, 4096, 8192, 65, 16384, 8, 0, 8
    ),
}


@pytest.mark.skipif(Path("/dev/nvidiactl").exists(), reason="there is an NVIDIA driver here")
@pytest.mark.parametrize("call", _ON_CUDA.values(), ids=_ON_CUDA)
def test_cuda_calls_where_there_is_no_cuda(call: Callable[[library.CudaCall], None]) -> None:
    """The same error on every machine without a GPU, whatever the build."""
    facts = library.build_info()["cuda"]
    missing = (
        f"there is no NVIDIA driver here: .* CUDA {facts['toolkit']} .* driver {facts['minimum_driver']}"
        if facts
        else "this ort_rrelu was built without CUDA kernels"
    )
    with pytest.raises(OSError, match=f"^{missing}"):
        call(library.CudaCall())


@pytest.mark.parametrize(
    ("x", "y", "begin", "message"),
    [
        (4096, 4100, 0, "y overlaps x: it must be the same array or apart"),
        (4097, 8192, 0, "x is not aligned to its elements of 4 bytes"),
        (4096, 8194, 0, "y is not aligned to its elements of 4 bytes"),
        (4096, 8192, 4, r"range \[4, 8\): begin must be a multiple of 8, and at most end"),
    ],
)
def test_refused_calls_on_cuda(x: int, y: int, begin: int, message: str) -> None:
    """Arguments are refused before a device is looked for."""
    with pytest.raises(ValueError, match=f"^{message}"):
        library.cuda_forward(_FLOATS, library.CudaCall(), x, y, None, begin, 8)


def test_a_reserve_of_a_wrong_length_on_cuda() -> None:
    with pytest.raises(ValueError, match=r"^reserve has 64 bytes: it must have 65 for 8 elements"):
        library.cuda_backward_reserve(_FLOATS, library.CudaCall(), 4096, 8192, 64, 16384, 8, 0, 8)


class _Fault(ctypes.Structure):
    _fields_ = (
        ("raised", ctypes.c_uint32),
        ("dtype", ctypes.c_int32),
        ("size", ctypes.c_uint64),
        ("header", ctypes.c_uint8 * 64),
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({0: 7}, "reserve begins with 0x6c657207: it must be what RRelu wrote"),
        ({40: 9}, "reserve is of 9 elements: it must be 8"),
        ({}, "reserve has bits other than 0 after its last element"),
    ],
    ids=["magic", "size", "unused bits"],
)
def test_what_the_device_found_is_told_once(change: dict[int, int], message: str) -> None:
    _, reserve = ort_rrelu.rrelu(np.zeros(8, np.float32), training=True, seed=1, return_reserve=True)
    header = bytearray(reserve[:64])
    for place, value in change.items():
        header[place] = value
    fault = _Fault(1, 1, 8, (ctypes.c_uint8 * 64)(*header))
    assert library.cuda_fault(ctypes.addressof(fault)).startswith(message)
    assert library.cuda_fault(ctypes.addressof(fault)) == ""
