"""ONNX Runtime, the kernels and the reference agree to the last bit."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

import ort_rrelu
from ort_rrelu import library, reference, schema
from tests.bits import assert_same_bits
from tests.draws import (
    Draw,
    assert_same_outputs,
    by_numpy,
    by_onnx_runtime,
    by_reference,
    normal,
    special_values,
)
from tests.onnx_models import DTYPES, FLOAT16, Array, grad_model, make_model, rrelu_model, run, session

_CHUNK = 2**15  # elements: the kernels' unit of work
_SHAPES: list[tuple[int, ...]] = [
    (),
    (0,),
    (3, 0, 2),
    *((n,) for n in range(1, 18)),
    (2, 3, 5, 7),
    (_CHUNK - 1,),
    (3, _CHUNK + 3),
]
_STEPS = [0, 1, 2**32, -1, -(2**63), 2**63 - 1]
_SEEDS = [0, 1, 2**32, 2**63 - 1]

every_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=[str(d) for d in DTYPES.values()])
both_modes = pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])


def _assert_all_agree(x: Array, draw: Draw, *, threads: int = 1) -> None:
    expected = by_reference(x, draw)
    for actual in by_numpy(x, draw), by_onnx_runtime(x, draw, threads=threads):
        assert_same_outputs(actual, expected)


@every_dtype
@both_modes
@pytest.mark.parametrize("shape", _SHAPES, ids=str)
def test_shapes(dtype: int, training: bool, shape: tuple[int, ...]) -> None:
    _assert_all_agree(normal(shape, dtype), Draw(training=training))


@every_dtype
@pytest.mark.parametrize("step", _STEPS)
@pytest.mark.parametrize("seed", _SEEDS)
def test_seeds_and_steps(dtype: int, step: int, seed: int) -> None:
    _assert_all_agree(normal((33,), dtype), Draw(seed=seed, step=step))


@every_dtype
@both_modes
@pytest.mark.parametrize("threads", [1, 2])
def test_threads(dtype: int, training: bool, threads: int) -> None:
    _assert_all_agree(normal((9 * _CHUNK + 5,), dtype), Draw(training=training), threads=threads)


@every_dtype
@both_modes
def test_special_values(dtype: int, training: bool) -> None:
    _assert_all_agree(special_values(dtype), Draw(training=training))


@every_dtype
@both_modes
@pytest.mark.parametrize(
    "outputs",
    [("y",), ("y", "noise"), ("y", ""), ("y", "", "reserve"), ("y", "noise", "reserve"), ("y", "noise", "")],
    ids=repr,
)
def test_outputs_that_a_node_has(dtype: int, training: bool, outputs: Sequence[str]) -> None:
    x = normal((19,), dtype)
    expected = by_reference(x, Draw(training=training, step=0))._asdict()
    node = session(rrelu_model(dtype, outputs=outputs, training=int(training), seed=42))
    for name, actual in zip(filter(None, outputs), run(node, x), strict=True):
        assert_same_bits(actual, expected[name])


@every_dtype
@both_modes
@pytest.mark.parametrize("threads", [0, 1, 2, 7])
def test_ranges_cut_by_hand(dtype: int, training: bool, threads: int) -> None:
    size = 5 * _CHUNK + 3
    x, draw = normal((size,), dtype), Draw(training=training)
    y, noise = np.empty_like(x), np.empty_like(x)
    reserve = np.full(library.reserve_bytes(size), 0xFF, np.uint8)
    params = library.Params(
        dtype, draw.lower, draw.upper, training, draw.seed, draw.step, num_threads=threads
    )
    cuts = [0, 8, 24, _CHUNK + 16, 4 * _CHUNK, size]
    # Backwards: no call may need another's before it.
    for begin, end in reversed(list(itertools.pairwise(cuts))):
        library.forward(
            params,
            x.ctypes.data,
            y.ctypes.data,
            noise.ctypes.data,
            begin,
            end,
            reserve=reserve.ctypes.data,
            size=size,
        )
    assert_same_outputs((y, noise, reserve), by_reference(x, draw))
    dx = np.empty_like(x)
    for begin, end in itertools.pairwise(cuts):
        library.backward_reserve(
            library.Params(dtype, num_threads=threads),
            x.ctypes.data,
            reserve.ctypes.data,
            reserve.size,
            dx.ctypes.data,
            size,
            begin,
            end,
        )
    assert_same_bits(dx, y)


@every_dtype
def test_y_is_x_times_noise(dtype: int) -> None:
    x = normal((4097,), dtype)
    y, noise, _ = by_onnx_runtime(x, Draw())
    assert_same_bits(y, x * noise)


def test_every_dtype_draws_the_same_slopes() -> None:
    slopes = reference.slopes(1001, seed=42, step=3)
    for dtype in DTYPES:
        drawn = by_onnx_runtime(np.zeros(1001, DTYPES[dtype]), Draw())
        assert_same_bits(drawn.noise, slopes.astype(DTYPES[dtype]))


@pytest.mark.parametrize(("lower", "upper"), [(schema.LOWER, schema.UPPER), (0.01, 0.01), (1.5, 4.0)])
def test_eval_is_leaky_relu(lower: float, upper: float) -> None:
    # A slope above 0: LeakyRelu leaves +0 as it is, a negative slope makes -0 of it.
    mean = float(np.float32((np.float64(np.float32(lower)) + np.float64(np.float32(upper))) / 2))
    info = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in "xy"]
    leaky_relu = make_model([helper.make_node("LeakyRelu", ["x"], ["y"], alpha=mean)], info[:1], info[1:])
    x = np.concatenate([normal((1001,), TensorProto.FLOAT), special_values(TensorProto.FLOAT).ravel()])
    actual = by_onnx_runtime(x, Draw(lower, upper, training=False))
    assert_same_bits(actual.y, run(session(leaky_relu), x)[0])


@every_dtype
@pytest.mark.parametrize("shape", _SHAPES, ids=str)
def test_gradient_shapes(dtype: int, shape: tuple[int, ...]) -> None:
    dy, noise = normal(shape, dtype), normal(shape, dtype)[::-1] if shape else normal(shape, dtype)
    expected = reference.rrelu_grad(dy, noise)
    assert_same_bits(ort_rrelu.rrelu_grad(dy, noise), expected)
    assert_same_bits(run(session(grad_model(dtype)), dy, noise)[0], expected)


@every_dtype
def test_gradient_special_values(dtype: int) -> None:
    special = special_values(dtype).ravel()
    dy, noise = (np.ascontiguousarray(a) for a in np.meshgrid(special, special))
    expected = reference.rrelu_grad(dy, noise)
    assert_same_bits(ort_rrelu.rrelu_grad(dy, noise), expected)
    assert_same_bits(run(session(grad_model(dtype)), dy, noise)[0], expected)


def _bounds(limit: float) -> st.SearchStrategy[tuple[float, float]]:
    # Half the limit, so that the difference of two bounds is finite too.
    bound = st.floats(-limit / 2, limit / 2, width=32)
    return st.tuples(bound, bound).map(lambda pair: (min(pair), max(pair)))


@settings(max_examples=150)
@given(
    dtype=st.sampled_from(list(DTYPES)),
    bounds=_bounds(65504.0),
    training=st.booleans(),
    seed=st.integers(0, 2**63 - 1),
    step=st.integers(-(2**63), 2**63 - 1),
    values=st.lists(st.floats(width=16), max_size=40),
)
def test_any_bounds(
    dtype: int, bounds: tuple[float, float], training: bool, seed: int, step: int, values: list[float]
) -> None:
    _assert_all_agree(np.array(values, DTYPES[dtype]), Draw(*bounds, training, seed, step))


@settings(max_examples=100)
@given(
    dtype=st.sampled_from([d for d in DTYPES if d != FLOAT16]),
    bounds=_bounds(float.fromhex("0x1.fep127")),
    training=st.booleans(),
)
def test_huge_bounds(dtype: int, bounds: tuple[float, float], training: bool) -> None:
    x = np.concatenate([special_values(dtype).ravel(), normal((23,), dtype)])
    _assert_all_agree(x, Draw(*bounds, training))
