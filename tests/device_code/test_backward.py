"""RReluGrad's device code on a simulated device: from noise, from reserves, and from wrong reserves."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from ort_rrelu import reference, schema
from tests.bits import assert_same_bits
from tests.device_code.cases import ROWS, SIZES, both_modes, every_architecture, every_dtype, ptx_of
from tests.device_code.checking import Raised, backward, backward_reserve
from tests.draws import Draw, by_reference, normal, special_values
from tests.onnx_models import Array

_NOT_RAISED = Raised(0, 0, 0, bytes(64))
_FAULT, _ROWS_FAULT = 1, 2  # kFault and kRowsFault of ops/reserve.h
_CLAIMED = 3  # kFaultClaimed of ops/fault.h


@every_architecture
@every_dtype
@both_modes
@pytest.mark.parametrize("offset", [0, 1])
def test_sizes_and_offsets(architecture: int, dtype: int, training: bool, offset: int) -> None:
    for size in SIZES:
        x, dy = normal((size,), dtype), normal((size,), dtype, seed=8)
        _, noise, reserve = by_reference(x, Draw(training=training))
        dx = backward(ptx_of(architecture), dy, noise, offset)
        assert_same_bits(dx, reference.rrelu_grad(dy, noise))
        dx, raised = backward_reserve(ptx_of(architecture), dy, reserve, offset)
        assert_same_bits(dx, reference.rrelu_grad(dy, reserve))
        assert raised == _NOT_RAISED


@every_dtype
def test_one_array_alone_that_is_not_aligned(dtype: int) -> None:
    """The host sees it, whatever the architecture."""
    dy = normal((1100,), dtype, seed=8)
    _, noise, reserve = by_reference(normal((1100,), dtype), Draw())
    expected = reference.rrelu_grad(dy, noise)
    for alone in ("dy", "noise", "dx"):
        assert_same_bits(backward(ptx_of(90), dy, noise, 1, alone=alone), expected)
    for alone in ("dy", "dx"):
        assert_same_bits(backward_reserve(ptx_of(90), dy, reserve, 1, alone=alone)[0], expected)


@every_architecture
@every_dtype
@both_modes
def test_special_values(architecture: int, dtype: int, training: bool) -> None:
    special = special_values(dtype).reshape(-1)
    x, dy = np.resize(special, 1100), np.resize(special[::-1], 1100)
    for bounds in [(1 / 8, 1 / 3), (-2.5, 3.0), (0.0, 1e-44)]:
        _, noise, reserve = by_reference(x, Draw(*bounds, training))
        assert_same_bits(backward(ptx_of(architecture), dy, noise), reference.rrelu_grad(dy, noise))
        dx, _ = backward_reserve(ptx_of(architecture), dy, reserve)
        assert_same_bits(dx, reference.rrelu_grad(dy, reserve))


@every_architecture
@every_dtype
@both_modes
@pytest.mark.parametrize("offset", [0, 1])
def test_rows(architecture: int, dtype: int, training: bool, offset: int) -> None:
    generator = np.random.default_rng(11)
    for rows, size in ROWS:
        steps = generator.integers(-(2**63), 2**63 - 1, rows, np.int64, endpoint=True)
        x, dy = (normal((rows, size), dtype, seed=seed) for seed in (7, 8))
        reserve = by_reference(x, Draw(training=training, step=steps)).reserve
        dx, raised = backward_reserve(ptx_of(architecture), dy, reserve, offset)
        assert_same_bits(dx, reference.rrelu_grad(dy, reserve))
        assert raised == _NOT_RAISED


@every_architecture
@every_dtype
@both_modes
def test_ranges(architecture: int, dtype: int, training: bool) -> None:
    x, dy = normal((5003,), dtype), normal((5003,), dtype, seed=8)
    _, noise, reserve = by_reference(x, Draw(training=training))
    for begin, end in [(0, 2048), (2048, 4096), (8, 4104), (5000, 5003), (16, 3336)]:
        dx = backward(ptx_of(architecture), dy[begin:end], noise[begin:end], begin=begin)
        assert_same_bits(dx, reference.rrelu_grad(dy, noise)[begin:end])
        dx, _ = backward_reserve(ptx_of(architecture), dy[begin:end], reserve, begin=begin, size=5003)
        assert_same_bits(dx, reference.rrelu_grad(dy, reserve)[begin:end])


def _byte(place: int, value: int) -> Callable[[Array], None]:
    def change(reserve: Array) -> None:
        reserve[place] = value

    return change


def _bounds(lower: float, upper: float) -> Callable[[Array], None]:
    def change(reserve: Array) -> None:
        reserve[16:24] = np.array([lower, upper], np.float32).view(np.uint8)

    return change


_WRONG: dict[str, Callable[[Array], None]] = {
    "magic": _byte(0, 0),
    "version": _byte(4, 9),
    "version with rows": _byte(4, 2),
    "dtype": _byte(8, 7),
    "training": _byte(12, 2),
    "lower above upper": _bounds(0.5, 0.25),
    "lower not finite": _bounds(-np.inf, 0.25),
    "upper a NaN": _bounds(0.5, np.nan),
    "span not finite": _bounds(-3e38, 3e38),
    "size": _byte(40, 1),
    "zeros": _byte(63, 1),
    "bits after the last": _byte(-1, 0xFF),
}


@every_architecture
@every_dtype
@pytest.mark.parametrize("name", _WRONG)
def test_a_wrong_reserve_gives_nan_and_raises(architecture: int, dtype: int, name: str) -> None:
    dy = normal((1003,), dtype)
    reserve = by_reference(dy, Draw()).reserve.copy()
    _WRONG[name](reserve)
    dx, raised = backward_reserve(ptx_of(architecture), dy, reserve)
    assert np.isnan(dx.astype(np.float64)).all()
    assert raised == Raised(_FAULT, schema.DTYPES[dy.dtype], 1003, reserve[:64].tobytes())


@every_architecture
@pytest.mark.parametrize(
    ("place", "value", "kind"), [(48, 3, _ROWS_FAULT), (32, 1, _FAULT), (-1, 0xFF, _FAULT)]
)
def test_a_wrong_reserve_of_rows(architecture: int, place: int, value: int, kind: int) -> None:
    """Rows other than the length says, a step beside those of the rows, and bits after the last."""
    dy = normal((4, 301), 1)
    reserve = by_reference(dy, Draw(step=np.arange(4))).reserve.copy()
    reserve[place] = value
    dx, raised = backward_reserve(ptx_of(architecture), dy, reserve)
    assert np.isnan(dx).all()
    assert raised == Raised(kind, schema.DTYPES[dy.dtype], 1204, reserve[:64].tobytes())


@every_architecture
@pytest.mark.parametrize("before", [_FAULT, _ROWS_FAULT, _CLAIMED])
def test_a_fault_that_was_not_told_yet_stays_as_it_is(architecture: int, before: int) -> None:
    """Or that another kernel or the host is busy with: two in one would tell of a reserve that never was."""
    dy, fault = normal((1003,), 1), np.full(80, 7, np.uint8)
    fault[:4] = np.array([before], np.uint32).view(np.uint8)
    reserve = by_reference(dy, Draw()).reserve.copy()
    reserve[0] = 0
    dx, raised = backward_reserve(ptx_of(architecture), dy, reserve, fault=fault)
    assert np.isnan(dx).all()
    assert raised == Raised(before, 0x07070707, 0x0707070707070707, bytes([7] * 64))
