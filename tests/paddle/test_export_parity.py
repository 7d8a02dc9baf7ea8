"""Exported models compute what Paddle computes; in train mode with the reference's slopes."""

from __future__ import annotations

from typing import Any

import numpy as np
import paddle
import pytest
from paddle import nn
from paddle.static import InputSpec

import ort_rrelu
from ort_rrelu import reference
from tests.bits import assert_same_bits
from tests.paddle.constructs import CONSTRUCTS, Chain, Functional, normal
from tests.paddle.exports import (
    BASE_SEED,
    attributes_of_nodes,
    drawn_by_paddle,
    exported,
    outputs_of,
    run,
    seeds_by_bounds,
)

# Other operators than rrelu add in another order.
_TOLERANCE: Any = {"rtol": 1e-5, "atol": 1e-6}

constructs = pytest.mark.parametrize("construct", list(CONSTRUCTS))


@constructs
def test_eval_mode_equals_paddle(construct: str) -> None:
    layer, model = exported(construct, training=False)
    assert {node["training"] for node in attributes_of_nodes(model)} == {0}
    inputs = CONSTRUCTS[construct].inputs
    # Paddle has no float16 kernel on the CPU.
    expected = drawn_by_paddle(layer, {}, *inputs) if construct == "float16" else outputs_of(layer, *inputs)
    for actual, wanted in zip(run(model, *inputs), expected, strict=True):
        assert (actual.dtype, actual.shape) == (wanted.dtype, wanted.shape)
        np.testing.assert_allclose(actual, wanted, **_TOLERANCE)


@constructs
def test_train_mode_draws_the_slopes_of_the_reference(construct: str) -> None:
    layer, model = exported(construct, training=True)
    assert {node["training"] for node in attributes_of_nodes(model)} == {1}
    for part in layer.sublayers():
        if not isinstance(part, nn.RReLU):  # saved in eval form
            part.training = part.training and not isinstance(part, nn.BatchNorm2D | nn.Dropout)
    inputs = CONSTRUCTS[construct].inputs
    expected = drawn_by_paddle(layer, seeds_by_bounds(model), *inputs)
    for actual, wanted in zip(run(model, *inputs), expected, strict=True):
        assert (actual.dtype, actual.shape) == (wanted.dtype, wanted.shape)
        np.testing.assert_allclose(actual, wanted, **_TOLERANCE)


@pytest.mark.parametrize(
    "construct", ["layer", "function", "chain of different bounds", "float64", "float16", "0-d"]
)
def test_train_mode_of_rrelus_alone_is_equal_to_the_bit(construct: str) -> None:
    layer, model = exported(construct, training=True)
    inputs = CONSTRUCTS[construct].inputs
    (actual,), (wanted,) = run(model, *inputs), drawn_by_paddle(layer, seeds_by_bounds(model), *inputs)
    assert_same_bits(actual, wanted)


@constructs
def test_seeds_are_derived_and_unlike(construct: str) -> None:
    _, model = exported(construct, training=True)
    seeds = [node["seed"] for node in attributes_of_nodes(model)]
    assert seeds == [reference.derive_seed(BASE_SEED, i) for i in range(len(seeds))]


def test_without_a_seed_nodes_do_not_share_slopes() -> None:
    model = ort_rrelu.paddle.export(Chain(), None, [InputSpec([None, 7], "float32")])
    seeds = [node["seed"] for node in attributes_of_nodes(model)]
    assert len(set(seeds)) == 3
    assert max(seeds) < 0


def test_step_input_names_the_draw() -> None:
    layer = Functional()
    model = ort_rrelu.paddle.export(
        layer, None, [InputSpec([None, 7], "float32", "x")], seed=BASE_SEED, step_input=True
    )
    assert [value.name for value in model.graph.input] == ["x", "step"]
    x = normal(4, 7)
    (seed,) = seeds_by_bounds(model).values()
    for step in (0, 5, -1):
        (actual,) = run(model, x, np.array(step))
        assert_same_bits(actual, reference.rrelu(x, 0.1, 0.3, training=True, seed=seed, step=step))


def test_step_input_reaches_the_iterations_of_a_loop() -> None:
    construct = CONSTRUCTS["Loop"]
    model = ort_rrelu.paddle.export(
        construct.make(), None, construct.input_spec, seed=BASE_SEED, step_input=True
    )
    seeds = list(seeds_by_bounds(model).values())
    (x,) = construct.inputs
    y = x
    for iteration in range(3):
        y = reference.rrelu(y, 0.7, 0.9, training=True, seed=seeds[0], step=5 + (iteration << 32))
    y = reference.rrelu(y, 0.1, 0.3, training=True, seed=seeds[1], step=5)
    assert_same_bits(run(model, x, np.array(5))[0], y)


def test_eval_mode_leaves_zero_as_it_is_although_paddle_gives_it_the_gradient_of_positive_numbers() -> None:
    x = np.array([[0.0, -0.0, -1.0]], np.float32)
    tensor = paddle.to_tensor(x, stop_gradient=False)
    paddle.nn.functional.rrelu(tensor, 0.1, 0.3, training=False).sum().backward()
    np.testing.assert_allclose(tensor.grad.numpy(), [[1, 1, 0.2]], rtol=1e-6)
    model = ort_rrelu.paddle.export(Functional(), None, [InputSpec([1, 3], "float32")], training=False)
    np.testing.assert_allclose(run(model, x)[0], [[0, 0, -0.2]], rtol=1e-6)


def test_batch_norm_and_dropout_are_in_eval_form_in_a_train_mode_model() -> None:
    _, model = exported("network", training=True)
    kinds = {node.op_type for node in model.graph.node}
    assert "Dropout" not in kinds
