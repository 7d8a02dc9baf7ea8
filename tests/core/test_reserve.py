"""The gradient from one bit an element: what it is, on every way, and what is refused."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ort_rrelu
from ort_rrelu import library, reference
from ort_rrelu.schema import RESERVE_HEADER
from tests.bits import assert_same_bits
from tests.draws import Draw, by_numpy, by_reference, normal, special_values
from tests.onnx_models import DTYPES, FLOAT, Array, grad_model, run, session

_CHUNK = 2**15  # elements: the kernels' unit of work
_SIZES = [*range(41), _CHUNK - 1, _CHUNK + 8, 3 * _CHUNK + 5]

every_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=[str(d) for d in DTYPES.values()])
both_modes = pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])


def _in_a_session(dy: Array, reserve: Array, *, threads: int = 1, name: str = "grad") -> Array:
    dtype = next(number for number, kind in DTYPES.items() if kind == dy.dtype)
    return run(session(grad_model(dtype, saved="reserve", name=name), threads=threads), dy, reserve)[0]


every_way = pytest.mark.parametrize(
    "rrelu_grad",
    [ort_rrelu.rrelu_grad, reference.rrelu_grad, _in_a_session],
    ids=["kernel", "reference", "session"],
)


@every_dtype
@both_modes
def test_every_size(dtype: int, training: bool) -> None:
    node = session(grad_model(dtype, saved="reserve"))
    for size in _SIZES:
        x, dy = normal((size,), dtype), normal((size,), dtype, seed=8)
        y, noise, reserve = by_numpy(x, Draw(training=training))
        assert_same_bits(reserve, by_reference(x, Draw(training=training)).reserve)
        expected = reference.rrelu_grad(dy, reserve)
        assert_same_bits(ort_rrelu.rrelu_grad(dy, reserve), expected)
        assert_same_bits(run(node, dy, reserve)[0], expected)
        # Forward and backward are the same product: in eval mode the slope is as precise in both.
        assert_same_bits(ort_rrelu.rrelu_grad(x, reserve), y)
        if training:
            assert_same_bits(expected, ort_rrelu.rrelu_grad(dy, noise))


@every_way
@every_dtype
@both_modes
@pytest.mark.parametrize("shape", [(), (0,), (3, 0, 2), (1, 1), (2, 3, 5, 7)], ids=str)
def test_shapes(
    rrelu_grad: Callable[[Array, Array], Array], dtype: int, training: bool, shape: tuple[int, ...]
) -> None:
    x = normal(shape, dtype)
    y, _, reserve = by_reference(x, Draw(training=training))
    assert_same_bits(rrelu_grad(x, reserve), y)


@every_dtype
@both_modes
@pytest.mark.parametrize("threads", [1, 2])
def test_threads(dtype: int, training: bool, threads: int) -> None:
    x = normal((9 * _CHUNK + 5,), dtype)
    y, _, reserve = by_numpy(x, Draw(training=training))
    assert_same_bits(_in_a_session(x, reserve, threads=threads), y)


@every_way
@every_dtype
@both_modes
def test_special_values(rrelu_grad: Callable[[Array, Array], Array], dtype: int, training: bool) -> None:
    special = special_values(dtype).ravel()
    x, dy = (np.ascontiguousarray(a) for a in np.meshgrid(special, special))
    _, noise, reserve = by_reference(x, Draw(training=training))
    expected = reference.rrelu_grad(dy, reserve)
    assert_same_bits(rrelu_grad(dy, reserve), expected)
    if training:
        assert_same_bits(expected, reference.rrelu_grad(dy, noise))


@every_dtype
def test_gradient_in_place(dtype: int) -> None:
    x = normal((1001,), dtype)
    y, _, reserve = by_numpy(x, Draw())
    address = x.ctypes.data
    library.backward_reserve(
        library.Params(dtype), address, reserve.ctypes.data, reserve.size, address, x.size, 0, x.size
    )
    assert_same_bits(x, y)


def test_layouts() -> None:
    x = normal((5, 13), FLOAT)
    y, _, reserve = by_numpy(x, Draw())
    unaligned = np.concatenate([reserve[:1], reserve])[1:]
    spread = np.repeat(reserve, 2)[::2]
    swapped, transposed = x.astype(">f4"), np.asfortranarray(x)
    for dy in x, swapped, transposed:
        for saved in reserve, unaligned, spread:
            for rrelu_grad in ort_rrelu.rrelu_grad, reference.rrelu_grad:
                assert_same_bits(rrelu_grad(dy, saved), y)


def test_elements_far_from_the_first() -> None:
    """No index is cut to 32 bits. The bits do not depend on it, but their place does."""
    begin = 2**35 + 8
    x = normal((21,), FLOAT)
    y, bits = np.empty_like(x), np.zeros(4, np.uint8)
    # Addresses of element 0 and of the header, which need not exist.
    first, second = ((array.ctypes.data - begin * x.itemsize) % 2**64 for array in (x, y))
    reserve = (bits.ctypes.data - begin // 8 - RESERVE_HEADER.itemsize) % 2**64
    end = begin + x.size
    library.forward(library.Params(FLOAT), first, second, None, begin, end, reserve=reserve)
    assert np.unpackbits(bits, bitorder="little").tolist() == [*(x <= 0), *[0] * 11]


@settings(max_examples=150)
@given(
    dtype=st.sampled_from(list(DTYPES)),
    ends=st.tuples(st.floats(-3e4, 3e4, width=32), st.floats(-3e4, 3e4, width=32)),
    training=st.booleans(),
    seed=st.integers(0, 2**63 - 1),
    step=st.integers(-(2**63), 2**63 - 1),
    values=st.lists(st.tuples(st.floats(width=16), st.floats(width=16)), max_size=40),
)
def test_any_gradient(
    dtype: int,
    ends: tuple[float, float],
    training: bool,
    seed: int,
    step: int,
    values: list[tuple[float, float]],
) -> None:
    x, dy = np.array(values, DTYPES[dtype]).reshape(-1, 2).T
    _, noise, reserve = by_numpy(x, Draw(min(ends), max(ends), training, seed, step))
    expected = reference.rrelu_grad(dy, reserve)
    assert_same_bits(ort_rrelu.rrelu_grad(dy, reserve), expected)
    if training:
        assert_same_bits(expected, ort_rrelu.rrelu_grad(dy, noise))


# Refusals.


def _reserve(dtype: int = FLOAT, size: int = 12) -> Array:
    return by_reference(-np.ones(size, DTYPES[dtype]), Draw()).reserve


def _with_field(field: str, value: Any) -> Array:
    reserve = _reserve()
    reserve[: RESERVE_HEADER.itemsize].view(RESERVE_HEADER)[field] = value
    return reserve


def _with_byte(place: int, value: int) -> Array:
    reserve = _reserve()
    reserve[place] = value
    return reserve


_NOT_ZERO = "reserve has bytes other than 0 at the end of its header: they must be 0"
_MORE = ", and 8 more for each row that has a step of its own"
_UNUSED = "reserve has bits other than 0 after its last element: they must be 0"
_REFUSED: dict[str, tuple[Array, str]] = {
    "empty": (_reserve()[:0], f"reserve has 0 bytes: it must have 66 for 12 elements{_MORE}"),
    "header alone": (_reserve()[:64], f"reserve has 64 bytes: it must have 66 for 12 elements{_MORE}"),
    "too short": (_reserve()[:-1], f"reserve has 65 bytes: it must have 66 for 12 elements{_MORE}"),
    "too long": (_reserve(size=17), f"reserve has 67 bytes: it must have 66 for 12 elements{_MORE}"),
    "magic": (
        _with_field("magic", 7),
        "reserve begins with 0x00000007: it must be what RRelu wrote, which begins with 0x6c657272",
    ),
    "version": (_with_field("version", 3), "reserve has version 3: this library reads versions 1 and 2"),
    "dtype": (_reserve(size=12, dtype=11), "reserve is of type double: it must be float"),
    "unknown dtype": (_with_field("dtype", 2**32 - 1), "reserve is of type 4294967295: it must be float"),
    "size": (_reserve(size=11), "reserve is of 11 elements: it must be 12"),
    "huge size": (_with_field("size", 2**64 - 1), f"reserve is of {2**64 - 1} elements: it must be 12"),
    "first zeros": (_with_byte(48, 1), _NOT_ZERO),
    "last zeros": (_with_byte(63, 128), _NOT_ZERO),
    "training": (_with_field("training", 2), "in the reserve, training=2: it must be 0 or 1"),
    "huge training": (_with_field("training", 2**32 - 1), "in the reserve, training=-1: it must be 0 or 1"),
    "bounds": (
        _with_field("lower", 0.5),
        "in the reserve, lower=0.5 is greater than upper=0.333333343: lower must not exceed upper",
    ),
    "lower": (_with_field("lower", np.nan), "in the reserve, lower=nan is not a finite float"),
    "upper": (_with_field("upper", np.inf), "in the reserve, upper=inf is not a finite float"),
    "lowest unused bit": (_with_byte(-1, 0b00010000), _UNUSED),
    "highest unused bit": (_with_byte(-1, 0b10001111), _UNUSED),
}
_DY = np.ones((3, 4), np.float32)


@pytest.mark.parametrize(
    "rrelu_grad", [ort_rrelu.rrelu_grad, reference.rrelu_grad], ids=["kernel", "reference"]
)
@pytest.mark.parametrize(("reserve", "message"), _REFUSED.values(), ids=_REFUSED)
def test_refused_by_functions(rrelu_grad: Any, reserve: Array, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$") as caught:
        rrelu_grad(_DY, reserve)
    assert isinstance(caught.value, ort_rrelu.Error)


@pytest.mark.parametrize(("reserve", "message"), _REFUSED.values(), ids=_REFUSED)
def test_refused_by_a_session(reserve: Array, message: str) -> None:
    node = session(grad_model(saved="reserve", name="block/grad"))
    with pytest.raises(Exception, match=re.escape(f'ort_rrelu:RReluGrad node "block/grad": {message}')):
        run(node, _DY, reserve)
    # The session lives on.
    assert len(run(node, _DY, _reserve())) == 1


def test_reserve_of_another_rank_is_refused_by_a_session() -> None:
    message = 'node with output "dx": reserve has shape [2, 33]: it must have one dimension'
    with pytest.raises(Exception, match=re.escape(message)):
        _in_a_session(_DY, _reserve().reshape(2, 33), name="")


def test_sizes_that_fill_their_last_byte_have_no_unused_bits() -> None:
    x = -np.ones(16, np.float32)
    assert_same_bits(ort_rrelu.rrelu_grad(x, _reserve(size=16)), by_numpy(x, Draw()).y)
