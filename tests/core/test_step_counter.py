"""Which draw a run takes, and from which seed, where the model does not say."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import NodeProto, TensorProto, helper

from ort_rrelu import reference, schema
from tests.bits import assert_same_bits
from tests.onnx_models import Array, make_model, rrelu_model, run, session, step_of

_X = -np.ones(64, np.float32)


def _info(name: str, kind: int = TensorProto.FLOAT) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, None)


def _train_node(inputs: list[str], outputs: list[str], seed: int = 42) -> NodeProto:
    return helper.make_node(schema.RRELU, inputs, outputs, domain=schema.DOMAIN, training=1, seed=seed)


def _slopes(step: int, seed: int = 42) -> Array:
    return reference.slopes(_X.size, seed=seed, step=step)


def test_runs_take_steps_from_0_on() -> None:
    node = session(rrelu_model(training=1, seed=42))
    for step in range(5):
        assert_same_bits(run(node, _X)[1], _slopes(step))


def test_every_session_starts_at_0() -> None:
    model = rrelu_model(training=1, seed=42)
    first, second = session(model), session(model)
    for step in range(3):
        assert_same_bits(run(first, _X)[1], _slopes(step))
    assert_same_bits(run(second, _X)[1], _slopes(0))


def test_a_run_on_nothing_counts() -> None:
    node = session(rrelu_model(training=1, seed=42))
    run(node, _X[:0])
    assert_same_bits(run(node, _X)[1], _slopes(1))


def test_runs_with_step_do_not_count() -> None:
    node = session(rrelu_model(training=1, seed=42, with_step=True))
    for step in (7, 7, -1, 7):
        assert_same_bits(run(node, _X, step_of(step))[1], _slopes(step))


@pytest.mark.parametrize("shape", [(), (1,), (1, 1)], ids=str)
def test_step_has_one_element_of_any_shape(shape: tuple[int, ...]) -> None:
    node = session(rrelu_model(training=1, seed=42, with_step=True))
    assert_same_bits(run(node, _X, step_of(5).reshape(shape))[1], _slopes(5))


def test_empty_name_for_step_is_no_step() -> None:
    model = make_model([_train_node(["x", ""], ["y", "noise"])], [_info("x")], [_info("y"), _info("noise")])
    node = session(model)
    for step in range(2):
        assert_same_bits(run(node, _X)[1], _slopes(step))


def test_without_a_seed_every_session_and_node_differs() -> None:
    nodes = [_train_node(["x"], [name], seed=-1) for name in ("a", "b")]
    model = make_model(nodes, [_info("x")], [_info("a"), _info("b")])
    draws = [y.tobytes() for _ in range(3) for y in run(session(model), _X)]
    assert len(set(draws)) == len(draws)


def test_nodes_with_one_seed_draw_alike() -> None:
    nodes = [_train_node(["x"], [name]) for name in ("a", "b")]
    both = session(make_model(nodes, [_info("x")], [_info("a"), _info("b")]))
    for step in range(2):
        for y in run(both, _X):
            assert_same_bits(y, -_slopes(step))


def _in_a_loop(body_inputs: list[str]) -> onnx.ModelProto:
    """A Loop that stacks the noise of its iterations; `step` is the model's, outside of the body."""
    body = helper.make_graph(
        [
            _train_node(body_inputs, ["leaked", "noise"]),
            helper.make_node("Identity", ["going"], ["still_going"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("going", TensorProto.BOOL, []),
        ],
        [helper.make_tensor_value_info("still_going", TensorProto.BOOL, []), _info("noise")],
    )
    loop = helper.make_node("Loop", ["count", ""], ["noises"], body=body)
    inputs = [_info("x"), _info("count", TensorProto.INT64), _info("step", TensorProto.INT64)]
    return make_model([loop], inputs, [_info("noises")])


@pytest.mark.parametrize(
    ("body_inputs", "steps"),
    [(["x"], [0, 1, 2]), (["x", "step"], [9, 9, 9])],
    ids=["counted", "step from outside"],
)
def test_iterations_of_a_loop(body_inputs: list[str], steps: list[int]) -> None:
    (noises,) = run(session(_in_a_loop(body_inputs)), _X, np.array(3), step_of(9))
    for noise, step in zip(noises, steps, strict=True):
        assert_same_bits(noise, _slopes(step))
