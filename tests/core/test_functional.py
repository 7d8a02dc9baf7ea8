"""rrelu and rrelu_grad on NumPy arrays: what they take, give and refuse, kernel and reference alike."""

from __future__ import annotations

import math
import re
from decimal import Decimal
from typing import Any, Protocol

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hypothesis_numpy

import ort_rrelu
from ort_rrelu import reference
from tests.bits import assert_same_bits
from tests.draws import Draw, assert_same_outputs, by_numpy, by_reference
from tests.onnx_models import DTYPES, Array


class _RRelu(Protocol):
    def __call__(self, x: Any, *args: Any, **kw: Any) -> Any: ...


both = pytest.mark.parametrize("rrelu", [ort_rrelu.rrelu, reference.rrelu], ids=["kernel", "reference"])
both_grads = pytest.mark.parametrize(
    "rrelu_grad", [ort_rrelu.rrelu_grad, reference.rrelu_grad], ids=["kernel", "reference"]
)
every_dtype = pytest.mark.parametrize("dtype", DTYPES.values(), ids=str)

_TRAIN: dict[str, Any] = {"training": True, "seed": 42, "step": 3}


def _x(dtype: Any = np.float32) -> Array:
    return np.linspace(-2, 2, 24).reshape(2, 3, 4).astype(dtype)


def _expected(x: Array) -> Array:
    """From plain, contiguous arrays alone."""
    plain = np.array(x, x.dtype.newbyteorder("="), order="C")
    y: Array = reference.rrelu(plain, **_TRAIN)
    return y


# Inputs.

_BYTE_ORDERS = {
    "big-endian float": _x(">f4"),
    "big-endian double": _x(">f8"),
    "big-endian float16": _x(">f2"),
}
_LAYOUTS = {
    "transposed": _x().T,
    "reversed": _x()[::-1, :, ::-1],
    "strided": np.linspace(-2, 2, 96, dtype=np.float32).reshape(4, 6, 4)[::2, ::2],
    "broadcast": np.broadcast_to(np.float32(-1), (3, 4)),
    "Fortran": np.asfortranarray(_x()),
    "unaligned": np.frombuffer(b"\x00" + _x().tobytes(), np.uint8)[1:].view(np.float32),
    "read-only": np.frombuffer(_x().tobytes(), np.float32),
}


@both
@pytest.mark.parametrize("x", [*_BYTE_ORDERS.values(), *_LAYOUTS.values()], ids=[*_BYTE_ORDERS, *_LAYOUTS])
def test_layouts_and_byte_orders(rrelu: _RRelu, x: Array) -> None:
    before = x.tobytes()
    y = rrelu(x, **_TRAIN)
    assert_same_bits(y, _expected(x))
    assert y.flags.c_contiguous
    assert x.tobytes() == before


@both
@pytest.mark.parametrize(
    ("x", "dtype", "shape"),
    [
        ([-1.0, 2.0], np.float64, (2,)),
        ([[-1.0], [2.0]], np.float64, (2, 1)),
        (-1.0, np.float64, ()),
        (np.float32(-1), np.float32, ()),
        (np.float16(-1), np.float16, ()),
        (ml_dtypes.bfloat16(-1), ml_dtypes.bfloat16, ()),
        ([], np.float64, (0,)),
    ],
    ids=repr,
)
def test_scalars_and_lists(rrelu: _RRelu, x: Any, dtype: Any, shape: tuple[int, ...]) -> None:
    y, noise, reserve = rrelu(x, return_noise=True, return_reserve=True, **_TRAIN)
    assert (reserve.dtype, reserve.shape) == (np.uint8, (64 + (math.prod(shape) + 7) // 8,))
    for result in (rrelu(x), y, noise):
        assert type(result) is np.ndarray
        assert (result.dtype, result.shape) == (np.dtype(dtype), shape)


@both
def test_returns_what_was_asked_for(rrelu: _RRelu) -> None:
    assert isinstance(rrelu(_x()), np.ndarray)
    assert isinstance(rrelu(_x(), return_noise=False), np.ndarray)
    y, noise, reserve = rrelu(_x(), return_noise=True, return_reserve=True, **_TRAIN)
    for asked, expected in (
        ({"return_noise": True}, (y, noise)),
        ({"return_reserve": True}, (y, reserve)),
        ({"return_noise": True, "return_reserve": True}, (y, noise, reserve)),
    ):
        results = rrelu(_x(), **asked, **_TRAIN)
        assert isinstance(results, tuple)
        for a, b in zip(results, expected, strict=True):
            assert_same_bits(a, b)


@both
@pytest.mark.parametrize("training", [True, 1, np.True_, np.int64(1)], ids=repr)
def test_true_by_other_names(rrelu: _RRelu, training: Any) -> None:
    assert_same_bits(rrelu(_x(), training=training, seed=np.int64(42), step=np.array(3)), _expected(_x()))


@both
def test_no_seed_is_fresh_entropy(rrelu: _RRelu) -> None:
    assert len({rrelu(_x(), training=True).tobytes() for _ in range(5)}) == 5


@both
def test_bounds_are_rounded_to_float32(rrelu: _RRelu) -> None:
    x = _x(np.float64)
    lower, upper = float(np.float32(0.1)), float(np.float32(0.2))
    assert_same_bits(rrelu(x, 0.1, 0.2, **_TRAIN), rrelu(x, lower, upper, **_TRAIN))
    assert_same_bits(rrelu(x, 0.1, 0.2), rrelu(x, lower, upper))


# out.


@both
@every_dtype
def test_out_is_filled_and_returned(rrelu: _RRelu, dtype: np.dtype[Any]) -> None:
    x = _x(dtype)
    out = np.full_like(x, 7)
    assert rrelu(x, out=out, **_TRAIN) is out
    assert_same_bits(out, _expected(x))
    y, _, _ = rrelu(x, out=out, return_noise=True, return_reserve=True)
    assert y is out


@both
def test_out_that_is_not_aligned(rrelu: _RRelu) -> None:
    x = _x().ravel()
    out = np.zeros(x.nbytes + 1, np.uint8)[1:].view(np.float32)
    assert rrelu(x, out=out, **_TRAIN) is out
    assert_same_bits(out, _expected(x))


@both
@every_dtype
def test_out_is_x(rrelu: _RRelu, dtype: np.dtype[Any]) -> None:
    x = _x(dtype)
    expected = _expected(x)
    _, reserve = rrelu(x.copy(), return_reserve=True, **_TRAIN)
    y, in_place = rrelu(x, out=x, return_reserve=True, **_TRAIN)
    assert y is x
    assert_same_bits(x, expected)
    assert_same_bits(in_place, reserve)


@both
@pytest.mark.parametrize("layout", ["transposed", "reversed", "strided"])
def test_out_with_strides(rrelu: _RRelu, layout: str) -> None:
    x = _LAYOUTS[layout].copy(order="K")
    base = np.zeros((*x.shape[:-1], 2 * x.shape[-1]), np.float32)
    out = base[..., ::2]
    rrelu(x, out=out, **_TRAIN)
    assert_same_bits(out, _expected(x))
    assert not base[..., 1::2].any()


@both
@pytest.mark.parametrize(
    ("of_x", "of_out"),
    [
        (slice(0, 20), slice(4, 24)),
        (slice(4, 24), slice(0, 20)),
        (slice(0, 20), slice(19, None, -1)),
        (slice(0, 20, 2), slice(0, 10)),
        (slice(0, 10), slice(0, 20, 2)),
        (slice(None, None, -1), slice(None)),
    ],
    ids=str,
)
def test_out_overlaps_x(rrelu: _RRelu, of_x: slice, of_out: slice) -> None:
    base = _x().ravel()
    expected = _expected(base[of_x].copy())
    rrelu(base[of_x], out=base[of_out], **_TRAIN)
    assert_same_bits(base[of_out], expected)


# Refusals: each message is complete.

_READ_ONLY = np.zeros((2, 3, 4), np.float32)
_READ_ONLY.flags.writeable = False
_DTYPES = "it must be one of float32, float64, float16, bfloat16"
_RAGGED = (
    "setting an array element with a sequence. The requested array has an inhomogeneous shape after 1 "
    "dimensions. The detected shape was (2,) + inhomogeneous part."
)


_REFUSALS: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"x": [1, 2]}, TypeError, f"x has dtype int64: {_DTYPES}"),
    ({"x": np.zeros(2, np.complex64)}, TypeError, f"x has dtype complex64: {_DTYPES}"),
    ({"x": [None]}, TypeError, f"x has dtype object: {_DTYPES}"),
    ({"x": [[1.0], [1.0, 2.0]]}, TypeError, f"x is of type list, and no array: {_RAGGED}"),
    ({"lower": "0.1"}, TypeError, "lower='0.1' is not a number"),
    ({"lower": None}, TypeError, "lower=None is not a number"),
    ({"lower": Decimal("0.125")}, TypeError, "lower=Decimal('0.125') is not a number"),  # 0.125 is allowed
    ({"upper": np.array(0.5)}, TypeError, "upper=array(0.5) is not a number"),
    ({"lower": np.nan}, ValueError, "lower=nan is not a finite float"),
    ({"upper": np.inf}, ValueError, "upper=inf is not a finite float"),
    ({"upper": 1e39}, ValueError, "upper=1e+39 is too large: it must be finite in float32"),
    (
        {"upper": 10**400},
        ValueError,
        f"upper={10**400} is too large: it must be finite in float32",
    ),
    (
        {"lower": 0.5, "upper": 0.25},
        ValueError,
        "lower=0.5 is greater than upper=0.25: lower must not exceed upper",
    ),
    ({"x": _x(np.float16), "upper": 7e4}, ValueError, "upper=70000 is not finite in float16"),
    (
        {"x": _x(ml_dtypes.bfloat16), "lower": -3.4e38},
        ValueError,
        "lower=-3.39999995e+38 is not finite in bfloat16",
    ),
    ({"training": 2}, ValueError, "training=2: it must be True or False"),
    ({"training": None}, ValueError, "training=None: it must be True or False"),
    ({"training": [1]}, ValueError, "training=[1]: it must be True or False"),
    ({"seed": -1}, ValueError, "seed=-1: it must be from 0 to 2^63 - 1"),
    ({"seed": 2**63}, ValueError, "seed=9223372036854775808: it must be from 0 to 2^63 - 1"),
    ({"seed": 1.0}, TypeError, "seed=1.0 is not an integer"),
    ({"step": 2**63}, ValueError, "step=9223372036854775808: it must be from -2^63 to 2^63 - 1"),
    ({"step": "1"}, TypeError, "step='1' is not an integer"),
    ({"step": None}, TypeError, "step=None is not an integer"),
    ({"step": [[1], [1, 2]]}, TypeError, f"step is of type list, and no array: {_RAGGED}"),
    ({"out": [1.0]}, TypeError, "out is of type list: it must be a numpy.ndarray"),
    ({"out": np.empty((2, 3, 4))}, TypeError, "out has dtype float64: it must be float32, as x"),
    ({"out": np.empty((2, 3, 4), ">f4")}, TypeError, "out has dtype >f4: it must be float32, as x"),
    (
        {"out": np.empty((2, 12), np.float32)},
        ValueError,
        "out has shape (2, 12): it must be (2, 3, 4), as x",
    ),
    ({"out": _READ_ONLY}, ValueError, "out is read-only: it must be writeable"),
]


@both
@pytest.mark.parametrize(("kw", "kind", "message"), _REFUSALS, ids=[message for *_, message in _REFUSALS])
def test_refusals(rrelu: _RRelu, kw: dict[str, Any], kind: type[Exception], message: str) -> None:
    arguments = {"x": _x()} | kw
    with pytest.raises(kind, match=f"^{re.escape(message)}$") as caught:
        rrelu(**arguments)
    assert isinstance(caught.value, ort_rrelu.Error)


@both
def test_a_refused_call_writes_nothing(rrelu: _RRelu) -> None:
    out = np.full((2, 3, 4), 7, np.float32)
    with pytest.raises(ort_rrelu.Error):
        rrelu(_x(), 0.5, 0.25, out=out)
    assert (out == 7).all()


_OR_RESERVE = "as dy, or uint8, which is a reserve"


@both_grads
@pytest.mark.parametrize(
    ("dy", "saved", "kind", "message"),
    [
        ([1, 2], [1.0, 2.0], TypeError, f"dy has dtype int64: {_DTYPES}"),
        ([1.0, 2.0], [1, 2], TypeError, f"saved has dtype int64: it must be float64, {_OR_RESERVE}"),
        (_x(), _x(np.float64), TypeError, f"saved has dtype float64: it must be float32, {_OR_RESERVE}"),
        ([[1.0], [1.0, 2.0]], [1.0], TypeError, f"dy is of type list, and no array: {_RAGGED}"),
        ([1.0], [[1.0], [1.0, 2.0]], TypeError, f"saved is of type list, and no array: {_RAGGED}"),
        (_x(), _x()[0], ValueError, "saved has shape (3, 4): it must be (2, 3, 4), as dy"),
        (
            _x(),
            np.zeros((1, 9), np.uint8),
            ValueError,
            "saved has shape (1, 9): a reserve has one dimension",
        ),
    ],
    ids=["integer dy", "integer saved", "dtype", "ragged dy", "ragged saved", "shape", "shape of a reserve"],
)
def test_refused_gradients(rrelu_grad: Any, dy: Any, saved: Any, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=f"^{re.escape(message)}$") as caught:
        rrelu_grad(dy, saved)
    assert isinstance(caught.value, ort_rrelu.Error)


# Properties.


@every_dtype
def test_gradient_is_the_slope_of_y(dtype: np.dtype[Any]) -> None:
    """Y is linear in x where x keeps its sign, so that a difference is exact up to rounding."""
    x = _x(dtype)
    y, noise = ort_rrelu.rrelu(x, return_noise=True, **_TRAIN)
    twice = ort_rrelu.rrelu(x * dtype.type(2), **_TRAIN)
    assert_same_bits(twice - y, y)
    assert_same_bits(ort_rrelu.rrelu_grad(x, noise), y)


def _layouts(array: Array) -> st.SearchStrategy[Array]:
    return st.sampled_from([array, array.T, array[::-1], array.astype(array.dtype.newbyteorder(">"))])


@settings(max_examples=150)
@given(
    x=st.sampled_from([np.float16, np.float32, np.float64])
    .flatmap(lambda dtype: hypothesis_numpy.arrays(dtype, hypothesis_numpy.array_shapes(min_side=0)))
    .flatmap(_layouts),
    ends=st.tuples(st.floats(-1e4, 1e4), st.floats(-1e4, 1e4)).map(lambda b: (min(b), max(b))),
    training=st.booleans(),
    seed=st.integers(0, 2**63 - 1),
    step=st.integers(-(2**63), 2**63 - 1),
)
def test_kernel_is_reference(
    x: Array, ends: tuple[float, float], training: bool, seed: int, step: int
) -> None:
    draw = Draw(*ends, training, seed, step)
    actual, expected = by_numpy(x, draw), by_reference(x, draw)
    assert_same_outputs(actual, expected)
    for saved in expected.noise, expected.reserve:
        assert_same_bits(ort_rrelu.rrelu_grad(x, saved), reference.rrelu_grad(x, saved))
