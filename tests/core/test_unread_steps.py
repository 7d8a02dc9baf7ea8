"""Steps that lower leaves unread: inputs that a session would ask for, and what computed them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
import onnx
import pytest

import ort_rrelu
from ort_rrelu.graph import add_step_input, lower, portable, set_training
from ort_rrelu.graph.nodes import all_nodes
from tests.bits import assert_same_bits
from tests.fusing import without_library
from tests.onnx_models import Array, parsed, run, session

_X = np.random.default_rng(7).normal(size=(3, 4)).astype(np.float32)
_TRAIN = "ort_rrelu.RRelu <training = 1, seed = 5>"


# Models to which add_step_input gives their step.
_WIRED = {
    "graph": parsed(f"net (float[3,4] x) => (float[3,4] y) {{ a = {_TRAIN} (x) y = Neg (a) }}"),
    "branch": parsed(
        f"""net (float[3,4] x, bool c) => (float[3,4] y) {{ y = If (c) <
            then_branch = t () => (float[3,4] u) {{ u = {_TRAIN} (x) }},
            else_branch = e () => (float[3,4] v) {{ v = Neg (x) }}> }}"""
    ),
    "loop": parsed(
        f"""net (float[3,4] x) => (float[3,4] y) <int64 n = {{3}}, bool go = {{1}}> {{
            y = Loop (n, go, x) <body = l (int64 i, bool k, float[3,4] p) => (bool d, float[3,4] r) {{
                d = Identity (k) r = {_TRAIN} (p) }}> }}"""
    ),
    "scan": parsed(
        f"""net (float[3,4] x) => (float[4] last, float[3,4] y) <float[4] zeros = {{0, 0, 0, 0}}> {{
            last, y = Scan <num_scan_inputs = 1, body = s (float[4] sum, float[4] row)
                => (float[4] more, float[4] out) {{
                    out = {_TRAIN} (row) more = Add (sum, out) }}> (zeros, x) }}"""
    ),
}


def _shape(graph: onnx.GraphProto) -> list[tuple[str, int, int]]:
    """What there is of nodes, inputs and outputs, in bodies too."""
    nodes = list(graph.node)
    own = [("graph", len(graph.input), len(graph.output)), ("initializers", len(graph.initializer), 0)]
    own += [(node.op_type, len(node.input), len(node.output)) for node in nodes]
    bodies = (a.g for node in nodes for a in node.attribute if a.type == onnx.AttributeProto.GRAPH)
    return own + list(itertools.chain.from_iterable(map(_shape, bodies)))


def _made(model: onnx.ModelProto) -> Iterator[onnx.ModelProto]:
    yield model
    yield portable(model)


@pytest.mark.parametrize("model", _WIRED.values(), ids=_WIRED)
def test_nothing_of_the_wiring_is_left(model: onnx.ModelProto) -> None:
    """What is lowered with a step is what it is without, and gives the eval outputs."""
    expected = set_training(model, False)
    for each in _made(add_step_input(model)):
        lowered = lower(set_training(each, False))
        onnx.checker.check_model(lowered, full_check=True)
        assert _shape(lowered.graph) == _shape(lower(expected).graph)
        assert [value.name for value in lowered.graph.input] == [value.name for value in model.graph.input]
        inputs: list[Array] = [_X, *[np.array(True)] * (len(model.graph.input) - 1)]
        for actual, right in zip(
            without_library(lowered, *inputs), run(session(expected), *inputs), strict=True
        ):
            assert_same_bits(actual, right)


@pytest.mark.parametrize("model", _WIRED.values(), ids=_WIRED)
def test_the_step_goes_where_the_runtime_draws(model: onnx.ModelProto) -> None:
    lowered = lower(add_step_input(model))
    assert "step" not in {value.name for value in lowered.graph.input}
    assert _shape(lowered.graph) == _shape(lower(model).graph)


@pytest.mark.parametrize("model", _WIRED.values(), ids=_WIRED)
def test_the_step_stays_where_it_is_read(model: onnx.ModelProto) -> None:
    lowered = lower(add_step_input(model), exact=True)
    assert "step" in {value.name for value in lowered.graph.input}


@pytest.mark.parametrize("model", _WIRED.values(), ids=_WIRED)
def test_eval_mode_alone_keeps_the_step(model: onnx.ModelProto) -> None:
    """Train mode would draw without it."""
    wired = add_step_input(model)
    assert set_training(set_training(wired, False), True) == wired


_STAY = {
    "read by another node": ("int64 step", "float y2", "b = Cast <to = 1> (step) y2 = Neg (b)"),
    "an output": ("int64 step", "int64 step", ""),
    "read in a body": (
        "int64 step, bool c", "int64 y2",
        "y2 = If (c) <then_branch = t () => (int64 u) { u = Neg (step) },"
        "else_branch = e () => (int64 v) { v = Abs (step) }>",
    ),
    "another that nobody reads": ("int64 idle", "", ""),
}  # fmt: skip


@pytest.mark.parametrize(("inputs", "outputs", "more"), _STAY.values(), ids=_STAY)
def test_other_inputs_stay(inputs: str, outputs: str, more: str) -> None:
    step = "" if "step" in inputs else "<int64 step = {3}>"
    comma = ", " * bool(outputs)
    model = parsed(
        f"net (float[3,4] x, {inputs}) => (float[3,4] y{comma}{outputs}) {step}"
        f"{{ a = {_TRAIN} (x, step) {more} y = Neg (a) }}"
    )
    lowered = lower(set_training(model, False))
    assert [value.name for value in lowered.graph.input] == [value.name for value in model.graph.input]


def test_step_with_a_default() -> None:
    model = parsed(
        f"net (float[3,4] x, int64 step) => (float[3,4] y) <int64 step = {{3}}> {{ y = {_TRAIN} (x, step) }}"
    )
    lowered = lower(set_training(model, False))
    assert [value.name for value in lowered.graph.input] == ["x"]
    assert not lowered.graph.initializer


def test_step_of_a_function() -> None:
    model = parsed(
        "net (float[3,4] x, int64 step) => (float[3,4] y) { y = own.F (x, step) }",
        f'<domain: "own", opset_import: ["": 18, "ort_rrelu": 1]> F (x, k) => (y) {{ y = {_TRAIN} (x, k) }}',
    )
    assert [value.name for value in lower(set_training(model, False)).graph.input] == ["x"]


def test_what_only_computed_a_step_goes() -> None:
    model = parsed(
        f"""net (float[3,4] x, int64 count) => (float[3,4] y) <int64 k = {{2}}> {{
            s = Mul (count, k) y = {_TRAIN} (x, s) }}"""
    )
    lowered = lower(set_training(model, False))
    assert [node.op_type for node in all_nodes(lowered)] == ["LeakyRelu"]
    assert [value.name for value in lowered.graph.input] == ["x", "count"]  # never a step itself


def test_the_line_for_serving() -> None:
    wired = add_step_input(_WIRED["graph"])
    served = lower(set_training(wired, False)).SerializeToString()
    assert [value.name for value in ort_rrelu.InferenceSession(served).get_inputs()] == ["x"]
