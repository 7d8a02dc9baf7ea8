"""Draws on their way through tf2onnx: each stays one of its own, has its seed, or is refused."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

import ort_rrelu
from ort_rrelu.errors import InvalidValueError
from ort_rrelu.reference import derive_seed
from tests.fusing import ops, values_of
from tests.onnx_models import Array, session
from tests.tensorflow.networks import RReLU, rrelu, spec

export = ort_rrelu.tensorflow.export
_X = -np.ones((400, 8), np.float32)


def _noisy(x: Any, **options: Any) -> Any:
    return rrelu(x, training=True, **options)


def _independent(slopes: list[Array]) -> bool:
    """No two are alike, nor a part of one like that of another."""
    return all(
        abs(np.corrcoef(one.ravel(), other.ravel())[0, 1]) < 6 / np.sqrt(one.size)
        for one, other in itertools.combinations(slopes, 2)
    )


@st.composite
def _networks(draw: st.DrawFn) -> list[tuple[float, float]]:
    """For each rrelu, how far from x its tensor is, and its upper bound."""
    return draw(
        st.lists(
            st.tuples(st.sampled_from([0.0, 1.0]), st.sampled_from([0.25, 0.375])), min_size=2, max_size=4
        )
    )


@given(network=_networks(), static=st.booleans())
@settings(max_examples=6)
def test_each_rrelu_is_a_node_with_slopes_of_its_own(
    network: list[tuple[float, float]], static: bool
) -> None:
    """Also where several read one tensor, with equal bounds."""

    def call(x: Any) -> Any:
        return tf.stack([_noisy(x - offset, lower=0.125, upper=upper) for offset, upper in network])

    signature = [spec(400 if static else None, 8)]
    plain, seeded = export(call, None, signature), export(call, None, signature, seed=5)
    for made in (plain, seeded):
        assert ops(made).count("RRelu") == len(network)
        ratios = np.asarray(session(made).run(None, {"x": _X})[0])
        ratios /= np.array([-1 - offset for offset, _ in network], np.float32)[:, None, None]
        for slopes, (_, upper) in zip(ratios, network, strict=True):
            assert slopes.min() >= 0.125 - 1e-6 and upper - 0.01 < slopes.max() <= upper + 1e-6
        assert _independent(list(ratios))
    assert [values["seed"] for values in values_of(plain)] == [-1 - i for i in range(len(network))]
    assert [values["seed"] for values in values_of(seeded)] == [
        derive_seed(5, i) for i in range(len(network))
    ]


def _twice(call: Any) -> Any:
    return lambda x: call(x) - call(x)


_LAYER = RReLU(mode=True)
_CALLED = tf.function(lambda x: _noisy(x))


@pytest.mark.parametrize("call", [_LAYER, _CALLED], ids=["a layer", "a function"])
def test_called_twice_on_one_tensor(call: Any) -> None:
    made = export(_twice(call), None, [spec(None, 8)])
    assert ops(made) == ["RRelu", "RRelu", "Sub"]
    assert (session(made).run(None, {"x": _X})[0] != 0).mean() > 0.99


def _in_branches(x: Any) -> Any:
    return tf.cond(x[0, 0] > 0, lambda: _noisy(x), lambda: _noisy(x))


def _in_a_loop(x: Any) -> Any:
    return tf.while_loop(lambda i, y: i < 2, lambda i, y: (i + 1, _noisy(y)), [0, x])[1]


def test_in_branches() -> None:
    made = export(_in_branches, None, [spec(None, 8)], seed=1)
    assert {values["seed"] for values in values_of(made)} == {derive_seed(1, 0), derive_seed(1, 1)}


def test_in_a_loop_each_round_draws_anew() -> None:
    made = export(_in_a_loop, None, [spec(None, 8)], seed=1)
    assert ops(made).count("RRelu") == 1
    (product,) = session(made).run(None, {"x": _X})
    # The product of two independent slopes; of equal ones the deviation would be larger by 4 / 3 and more.
    slopes = np.random.default_rng(0).uniform(0.125, 1 / 3, (2, 100_000))
    assert np.asarray(product).std() == pytest.approx((slopes[0] * slopes[1]).std(), rel=0.1)


@pytest.mark.parametrize(
    "other",
    [lambda x: tf.where(x >= 0, x, 0.0), rrelu, lambda x: tf.cast(x >= 0, tf.float32)],
    ids=["relu", "eval mode", "a mask"],
)
def test_condition_with_another_reader(other: Any) -> None:
    made = export(lambda x: (_noisy(x), other(x)), None, [spec(None, 8)], seed=3, step_input=True)
    assert [values["seed"] for values in values_of(made)] == [derive_seed(3, 0)]
    x = np.linspace(-4, 4, 80, dtype=np.float32).reshape(10, 8)
    found = session(made).run(None, {"x": x, "step": np.array(0)})
    np.testing.assert_allclose(found[1], other(x), rtol=1e-6)


def test_two_slopes_of_one_tensor_in_eval_mode() -> None:
    made = export(lambda x: (rrelu(x), rrelu(x, 0.2, 0.3)), None, [spec(None, 8)])
    assert ops(made) == ["LeakyRelu", "LeakyRelu"]
    x = np.full((1, 8), -np.inf, np.float32)
    for y in session(made).run(None, {"x": x}):
        np.testing.assert_array_equal(y, x)


def test_scalars() -> None:
    made = export(_noisy, None, [spec()], seed=1)
    assert ops(made) == ["RRelu"]
    assert session(made).run(None, {"x": np.array(-1, np.float32)})[0].shape == ()


# seeds that are written in the draws


@pytest.mark.parametrize("static", [True, False])
def test_own_seeds_keep_their_digits(static: bool) -> None:
    """TensorFlow takes them modulo 2^31 - 1."""
    seeds = [2**31 - 5, 2**31 - 6, -5 + 2, 0, 2**24 + 1]

    def call(x: Any) -> Any:
        return tuple(_noisy(x, seed=seed) for seed in seeds)

    made = export(call, None, [spec(4 if static else None, 8)], seed=7)
    found = [values["seed"] for values in values_of(made)]
    assert sorted(found) == sorted([2**31 - 5, 2**31 - 6, 2**31 - 4, 0, 2**24 + 1])


def _sets(seed: int) -> Any:
    def call(x: Any) -> Any:
        tf.random.set_seed(seed)
        return _noisy(_noisy(x)) - _noisy(x)

    return call


def test_seed_that_is_set_in_the_function_is_kept_for_all_its_draws() -> None:
    first, again, other = (
        [values["seed"] for values in values_of(export(_sets(seed), None, [spec(None, 8)]))]
        for seed in (3, 3, 4)
    )
    assert first == again and min(first) >= 0
    assert not set(first) & set(other)


class Traced(RReLU):
    """A layer that keeps its traces."""

    call = tf.function(RReLU.call)


@pytest.fixture(name="seeded")
def _seeded() -> Iterator[None]:
    tf.random.set_seed(5)
    yield
    tf.compat.v1.set_random_seed(None)


@pytest.mark.usefixtures("seeded")
def test_seed_that_was_set_when_the_function_was_traced_before_is_left_out() -> None:
    function = tf.function(_noisy, input_signature=[spec(400, 8)])
    function(_X)
    assert [values["seed"] for values in values_of(export(function, seed=1))] == [derive_seed(1, 0)]


@pytest.mark.usefixtures("seeded")
@pytest.mark.parametrize("kind", ["function", "layer"])
def test_seed_that_was_set_when_a_function_inside_was_traced_before_is_refused(kind: str) -> None:
    call = tf.function(_noisy) if kind == "function" else Traced(mode=True)
    call(tf.constant(_X))
    with pytest.raises(InvalidValueError, match=r'op RandomUniform ".*traced before, with the seed 5'):
        export(lambda x: call(x), None, [spec(400, 8)])


# draws that stay


def _shared(x: Any) -> Any:
    slopes = tf.random.uniform(tf.shape(x), 0.125, 0.5)
    return tf.where(x >= 0, x, slopes * x) - tf.where(x - 1 >= 0, x - 1, slopes * (x - 1))


def _uniform(x: Any) -> Any:
    return _noisy(x) + tf.random.uniform(tf.shape(x))


def _normal(x: Any) -> Any:
    return _noisy(x) + tf.random.normal(tf.shape(x))


@pytest.mark.parametrize("static", [True, False])
def test_slopes_that_are_shared_stay_shared(static: bool) -> None:
    made = export(_shared, None, [spec(400 if static else None, 8)])
    assert "RRelu" not in ops(made)
    slopes = np.asarray(session(made).run(None, {"x": _X})[0])  # -s + 2 s
    assert slopes.min() >= 0.125 - 1e-6 and 0.45 < slopes.max() <= 0.5 + 1e-6


@pytest.mark.parametrize("function", [_shared, _uniform, _normal])
@pytest.mark.parametrize(
    ("options", "remedy"),
    [
        ({"seed": 1}, "give the draw a seed of its own.*or leave seed out"),
        ({"training": False}, "in eval mode, or leave training out"),
        ({"step_input": True}, "trace the model without the draw, or leave step_input out"),
    ],
    ids=str,
)
def test_argument_that_does_not_reach_a_draw(function: Any, options: dict[str, Any], remedy: str) -> None:
    ((name, value),) = options.items()
    with pytest.raises(
        InvalidValueError,
        match=rf'{name}={value!r} does not reach TensorFlow op Random\w+ "random_.*{remedy}',
    ):
        export(function, None, [spec(None, 8)], **options)


def _seeds_of_draws(model: onnx.ModelProto) -> list[float | None]:
    draws = [node for node in model.graph.node if node.op_type.startswith("Random")]
    return [next((a.f for a in node.attribute if a.name == "seed"), None) for node in draws]


def test_draw_that_stays_has_its_own_seed_or_none() -> None:
    def call(x: Any) -> Any:
        shape = tf.shape(x)
        noise = tf.random.normal(shape, seed=6) * tf.random.normal(shape) * tf.random.normal(shape)
        return _noisy(x) + noise

    made = export(call, None, [spec(None, 8)])
    assert sorted(_seeds_of_draws(made), key=str) == [6, None, None]


def test_seed_of_a_draw_that_has_its_own() -> None:
    made = export(lambda x: _noisy(x) + tf.random.normal(tf.shape(x), seed=6), None, [spec(None, 8)], seed=1)
    assert _seeds_of_draws(made) == [6]


def test_draw_that_no_output_needs_is_no_obstacle() -> None:
    def call(x: Any) -> Any:
        tf.random.stateless_uniform(tf.shape(x), [1, 2])
        tf.random.uniform(tf.shape(x))
        return _noisy(x)

    for static in (True, False):
        assert ops(export(call, None, [spec(4 if static else None, 8)], seed=1, training=True)) == ["RRelu"]
