"""Faults planted in the kernels' sources are found: what nvcc makes of them fails on the simulated device."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.device_code import compiling
from tests.device_code.checking import Case, backward_reserve, check_forward
from tests.device_code.memory import FaultError
from tests.draws import Draw, by_reference, normal
from tests.onnx_models import FLOAT, FLOAT16

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


def test_loads_of_a_warp_that_do_not_lie_side_by_side() -> None:
    """The bits stay and so do the instructions, but not the speed."""
    at = "return tile + static_cast<uint64_t>(load * kWarp + lane) * kPiece<T>;"
    of_16_bits = "kShare<T> == 1 ? lane * kLoads + load : load * kWarp + lane"
    path = _with("cuda/loop.h", at, at.replace("load * kWarp + lane", of_16_bits))
    with pytest.raises(FaultError, match="accesses of 16 bytes that are not side by side in a warp"):
        check_forward(path, normal((1024,), FLOAT16), Draw())
    _run(path, 1024)


def test_a_counter_that_two_launches_may_move_on_together() -> None:
    take = "atomicAdd(reinterpret_cast<unsigned long long*>(counter), 1ull)"
    path = _with("cuda/kernels.cu", take, "(*counter)++")
    with pytest.raises(FaultError, match="a plain access to what others may change meanwhile"):
        _run(path, 100, Case(count=3))


_PUBLISH = "  __threadfence_system();\n  *const_cast<volatile uint32_t*>(&fault.raised) = kind;"
_CLAIM = "  if (atomicCAS_system(&fault.raised, 0u, kFaultClaimed) != 0) return false;\n"
_FENCE = "  __threadfence_system();\n"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (_PUBLISH, _PUBLISH.replace(_FENCE, ""), "no fence between a store and a word that others look at"),
        (_CLAIM + _FENCE, _CLAIM, "no fence between a word that others look at and a store"),
        (_CLAIM, "  fault.raised = kFaultClaimed;\n", "a plain access to what others may change meanwhile"),
    ],
    ids=["told before it is written", "written before it is claimed", "claimed by two at once"],
)
def test_a_fault_that_the_host_may_see_torn(old: str, new: str, message: str) -> None:
    path, dy = _with("fault.h", old, new), normal((16,), FLOAT)
    with pytest.raises(FaultError, match=message):
        backward_reserve(path, dy, np.zeros(64 + 2, np.uint8))
    backward_reserve(path, dy, by_reference(dy, Draw()).reserve)
