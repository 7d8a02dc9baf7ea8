"""Faults planted in the kernels' sources are found: what nvcc makes of them fails on the simulated device."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.device_code import compiling
from tests.device_code.checking import Case, check_forward
from tests.device_code.memory import FaultError
from tests.draws import Draw, normal
from tests.onnx_models import FLOAT

_ARCHITECTURE = 90


def _with(file: str, old: str, new: str) -> Path:
    return compiling.ptx_with(file, old, new, _ARCHITECTURE)


def _run(path: Path, size: int, case: Case | None = None) -> None:
    check_forward(path, normal((size,), FLOAT), Draw(), case)


def test_a_wrong_constant_in_the_stream() -> None:
    path = _with("slope.h", "0xCD9E8D57u};", "0xCD9E8D55u};")
    with pytest.raises(AssertionError, match="elements differ"):
        _run(path, 600)


def test_a_store_past_the_end() -> None:
    path = _with("cuda/loop.h", "static_cast<int>(end - first) : kBlock;", "kBlock : kBlock;")
    with pytest.raises(FaultError, match="leave an array of 52 bytes"):
        _run(path, 13)
    _run(path, 16)


def test_a_lane_that_is_missing_at_a_shuffle() -> None:
    begin = "const bool is_upper = lane_ & distance;"
    path = _with("cuda/lanes.h", begin, f"if (lane_ == 5) continue;\n{begin}")
    with pytest.raises(FaultError, match=r"1 lanes are missing at a shuffle of warp 0"):
        _run(path, 1024)
    _run(path, 500)  # no tile


def test_elements_that_are_taken_twice() -> None:
    after_tiles = "return (work.begin + work.tiles * kTile<T>) / kBlock;"
    path = _with("cuda/loop.h", after_tiles, "return work.begin / kBlock;")
    with pytest.raises(FaultError, match="a byte is written twice"):
        _run(path, 1024, Case(noise=False, reserve=False))


def test_a_barrier_that_is_missing() -> None:
    path = _with("cuda/kernels.cu", "    __syncthreads();\n", "")
    with pytest.raises(FaultError, match="a load of shared memory that nothing was written to"):
        _run(path, 100, Case(count=3))
    _run(path, 100)
