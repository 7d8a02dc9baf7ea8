"""add_step_input: one input `step` for every train-mode node, in branches and loops too."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import GraphProto, NodeProto, TensorProto, ValueInfoProto, helper

import ort_rrelu
from ort_rrelu import reference, schema
from ort_rrelu.graph.nodes import our_nodes, step_of
from ort_rrelu.graph.step_input import wire_step
from tests.bits import assert_same_bits
from tests.onnx_models import Array, make_model, run, session

_X = np.random.default_rng(7).normal(size=(3, 5)).astype(np.float32)
_STEPS = (0, 7, -1, 2**40)


def _float(name: str, *shape: int) -> ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)


def _scalar(name: str, kind: int) -> ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, [])


def _constant(name: str, value: int | bool, kind: int) -> NodeProto:
    return helper.make_node("Constant", [], [name], value=helper.make_tensor(name, kind, [], [value]))


def _rrelu(x: str, y: str, *more: str, seed: int = 3, training: int = 1) -> NodeProto:
    return helper.make_node(
        schema.RRELU, [x, *more], [y], domain=schema.DOMAIN,
        lower=0.5, upper=1.5, training=training, seed=seed,
    )  # fmt: skip


def _drawn(x: Array, step: int, seed: int = 3) -> Array:
    return np.asarray(reference.rrelu(x, 0.5, 1.5, True, seed=seed, step=step))


def _iterated(x: Array, step: int, times: int = 3, draws: int = 1) -> Array:
    for iteration in range(times):
        for _ in range(draws):
            x = _drawn(x, step + (iteration << 32))
    return x


def _model(
    *nodes: NodeProto, inputs: Sequence[ValueInfoProto] = (), shape: Sequence[int] = (3, 5)
) -> onnx.ModelProto:
    """x [, inputs] -> nodes -> y."""
    return make_model(nodes, [_float("x", *shape), *inputs], [_float("y", *shape)])


def _loop(*body: NodeProto, y: str = "y", x: str = "x", times: int = 3) -> list[NodeProto]:
    """Runs a body that makes `b` out of `a`."""
    graph = helper.make_graph(
        [helper.make_node("Identity", ["c"], ["c_out"]), *body],
        "body",
        [_scalar("i", TensorProto.INT64), _scalar("c", TensorProto.BOOL), _float("a", 3, 5)],
        [_scalar("c_out", TensorProto.BOOL), _float("b", 3, 5)],
    )
    return [
        _constant("times", times, TensorProto.INT64),
        helper.make_node("Loop", ["times", "", x], [y], body=graph),
    ]


def _scan_body(*nodes: NodeProto, states: Sequence[str] = ()) -> GraphProto:
    """Rows r -> s, beside states that stay as they are."""
    return helper.make_graph(
        [*nodes, *(helper.make_node("Identity", [n], [f"{n}_out"]) for n in states)],
        "body",
        [*(_float(n) for n in states), _float("r", 5)],
        [*(_float(f"{n}_out") for n in states), _float("s", 5)],
    )


def _if(then: Sequence[NodeProto], otherwise: Sequence[NodeProto]) -> list[NodeProto]:
    """On the sum of x being positive; both branches make `b`."""
    branches = [helper.make_graph(nodes, "branch", [], [_float("b", 3, 5)]) for nodes in (then, otherwise)]
    zero = helper.make_node("Constant", [], ["zero"], value_float=0.0)
    return [
        zero,
        helper.make_node("ReduceSum", ["x"], ["sum"], keepdims=0),
        helper.make_node("Greater", ["sum", "zero"], ["positive"]),
        helper.make_node("If", ["positive"], ["y"], then_branch=branches[0], else_branch=branches[1]),
    ]


def _scan_model() -> onnx.ModelProto:
    return _model(
        helper.make_node("Scan", ["x"], ["y"], num_scan_inputs=1, body=_scan_body(_rrelu("r", "s")))
    )


def _scan_with_states() -> onnx.ModelProto:
    states = ["p", "q"]
    body = _scan_body(_rrelu("r", "s"), states=states)
    scan_node = helper.make_node(
        "Scan", [*states, "x"], ["p_last", "q_last", "y"], num_scan_inputs=1, body=body
    )
    return _model(*(helper.make_node("Constant", [], [n], value_float=1.0) for n in states), scan_node)


def _rows(x: Array, step: int) -> Array:
    return np.stack([_drawn(row, step + (i << 32)) for i, row in enumerate(x)])


_WIRED: dict[str, tuple[onnx.ModelProto, Callable[[Array, int], Array]]] = {
    "one node": (_model(_rrelu("x", "y")), _drawn),
    "two nodes": (
        _model(_rrelu("x", "h"), _rrelu("h", "y", seed=4)),
        lambda x, step: _drawn(_drawn(x, step), step, 4),
    ),
    "empty step": (_model(_rrelu("x", "y", "")), _drawn),
    "branches": (
        _model(*_if([_rrelu("x", "b")], [_rrelu("x", "b", seed=4)])),
        lambda x, step: _drawn(x, step, 3 if x.sum() > 0 else 4),
    ),
    "one branch": (
        _model(*_if([_rrelu("x", "b")], [helper.make_node("Neg", ["x"], ["b"])])),
        lambda x, step: _drawn(x, step) if x.sum() > 0 else -x,
    ),
    "loop": (_model(*_loop(_rrelu("a", "b"))), _iterated),
    "loop in a branch": (
        _model(*_if(_loop(_rrelu("a", "b"), y="b"), [helper.make_node("Neg", ["x"], ["b"])])),
        lambda x, step: _iterated(x, step) if x.sum() > 0 else -x,
    ),
    "node after a loop": (
        _model(*_loop(_rrelu("a", "b"), y="h"), _rrelu("h", "y", seed=4)),
        lambda x, step: _drawn(_iterated(x, step), step, 4),
    ),
    "two loops": (
        _model(*_loop(_rrelu("a", "b"), y="h"), *_loop(_rrelu("a", "b"), x="h")[1:]),
        lambda x, step: _iterated(_iterated(x, step), step),
    ),
    "scan": (_scan_model(), _rows),
    "scan with states": (_scan_with_states(), _rows),
}


@pytest.mark.parametrize("sign", [1, -1], ids=["positive", "negative"])
@pytest.mark.parametrize(("model", "expected"), _WIRED.values(), ids=_WIRED)
def test_wired(model: onnx.ModelProto, expected: Callable[[Array, int], Array], sign: int) -> None:
    wired = onnx.ModelProto()
    wired.CopyFrom(model)
    wire_step(wired)
    onnx.checker.check_model(wired, full_check=True)
    assert [v.name for v in wired.graph.input] == ["x", "step"]
    x = (np.abs(_X[::-1]) + _X) * np.float32(sign)
    x[0, 0] = -2
    of = session(wired)
    for step in _STEPS:
        assert_same_bits(run(of, x, np.array(step))[0], expected(x, step))


def test_loop_and_scan_that_nobody_reads_are_wired() -> None:
    """ONNX Runtime cannot run them, with or without a step."""
    scan_body = _scan_body(_rrelu("r", "s"))
    model = _model(
        *_loop(_rrelu("a", "b"), y=""),
        helper.make_node("Scan", ["x"], [""], num_scan_inputs=1, body=scan_body),
        _rrelu("x", "y"),
    )
    wire_step(model)
    onnx.checker.check_model(model, full_check=True)
    steps = [step_of(node) for node in our_nodes(model)]
    assert steps == ["step_in_loop", "step_in_scan", "step"]


def _loop_of_another_domain() -> onnx.ModelProto:
    """Its body has no inputs, which a Loop of ONNX must have."""
    body = helper.make_graph([_rrelu("x", "b")], "body", [], [_float("b", 3, 5)])
    node = helper.make_node("Loop", ["x"], ["y"], domain="own", body=body)
    model = _model(node, helper.make_node("Constant", ["y"], [], domain="own"))
    model.opset_import.append(helper.make_opsetid("own", 1))
    return model


def _body_in_function() -> onnx.ModelProto:
    branch = helper.make_graph([_rrelu("a", "b")], "branch", [], [_float("b", 3, 5)])
    choice = helper.make_node("If", ["c"], ["y"], then_branch=branch, else_branch=branch)
    return _with_function(_constant("c", True, TensorProto.BOOL), choice)


def _with_function(*nodes: NodeProto, attributes: Sequence[str] = (), **given: Any) -> onnx.ModelProto:
    imports = [helper.make_opsetid("", 18), schema.opset_import()]
    function = helper.make_function("mine", "F", ["a"], ["y"], nodes, imports, list(attributes))
    model = _model(helper.make_node("F", ["x"], ["y"], domain="mine", **given))
    model.functions.append(function)
    model.opset_import.append(helper.make_opsetid("mine", 1))
    return model


def _mode_from_function() -> onnx.ModelProto:
    node = _rrelu("a", "y")
    for attribute in node.attribute:
        if attribute.name == "training":
            attribute.ClearField("i")
            attribute.ref_attr_name = "mode"
    return _with_function(node, attributes=["mode"], mode=1)


def _sequence_map() -> onnx.ModelProto:
    body = helper.make_graph([_rrelu("a", "b")], "body", [_float("a", 3, 5)], [_float("b", 3, 5)])
    return _model(
        helper.make_node("SequenceConstruct", ["x", "x"], ["xs"]),
        helper.make_node("SequenceMap", ["xs"], ["ys"], body=body),
        helper.make_node("ConcatFromSequence", ["ys"], ["y"], axis=0),
    )


_INNER = _loop(_rrelu("a", "b"), y="b", x="a")
_REFUSED: dict[str, tuple[onnx.ModelProto, str]] = {
    "an input is named step": (
        _model(_rrelu("x", "y"), inputs=[_scalar("step", TensorProto.FLOAT)]), "value named 'step'",
    ),
    "an output of a node is named step": (
        _model(_rrelu("x", "step"), _rrelu("step", "y")), "value named 'step'",
    ),
    "an output in a body is named step": (
        _model(*_loop(_rrelu("a", "step"), helper.make_node("Neg", ["step"], ["b"]))), "value named 'step'",
    ),
    "loop in a loop": (_model(*_loop(*_INNER)), "inside another loop"),
    "loop in a branch in a loop": (
        _model(*_loop(*_if(_INNER, [_rrelu("a", "b")])[:3], _if(_INNER, [_rrelu("a", "b")])[3])),
        "inside another loop",
    ),
    "function": (_with_function(_rrelu("a", "y")), "in function F: inline it first"),
    "branch in a function": (_body_in_function(), "in function F: inline it first"),
    "mode of a function": (_mode_from_function(), "in function F: inline it first"),
    "sequence map": (_sequence_map(), "SequenceMap"),
    "loop of another domain": (_loop_of_another_domain(), "cannot be told apart"),
}  # fmt: skip


@pytest.mark.parametrize(("model", "message"), _REFUSED.values(), ids=_REFUSED)
def test_refused_and_left_as_it_was(model: onnx.ModelProto, message: str) -> None:
    before = model.SerializeToString()
    with pytest.raises(ort_rrelu.Error, match=message) as caught:
        wire_step(model)
    assert isinstance(caught.value, ValueError)
    assert model.SerializeToString() == before


def test_unused_input_of_a_body_would_hide_the_step() -> None:
    body = _scan_body(_rrelu("r", "s"), states=["p"])
    body.node[1].input[0] = "s"
    body.input[0].name, body.output[0].type.tensor_type.shape.dim.add().dim_value = "step", 5
    model = _model(
        helper.make_node("Constant", [], ["p"], value_floats=[0.0] * 5),
        helper.make_node("Scan", ["p", "x"], ["", "y"], num_scan_inputs=1, body=body),
    )
    with pytest.raises(ort_rrelu.Error, match="value named 'step'"):
        wire_step(model)


_UNCHANGED: dict[str, onnx.ModelProto] = {
    "no node of ours": _model(helper.make_node("Neg", ["x"], ["y"])),
    "eval node": _model(_rrelu("x", "y", training=0)),
    "node with a step": _model(_rrelu("x", "y", "s"), inputs=[_scalar("s", TensorProto.INT64)]),
    "node with a step called step": _model(
        _rrelu("x", "y", "step"), inputs=[_scalar("step", TensorProto.INT64)]
    ),
    "eval node in a loop in a loop": _model(*_loop(*_loop(_rrelu("a", "b", training=0), y="b", x="a"))),
}


@pytest.mark.parametrize("model", _UNCHANGED.values(), ids=_UNCHANGED)
def test_nothing_to_wire(model: onnx.ModelProto) -> None:
    before = model.SerializeToString()
    wire_step(model)
    assert model.SerializeToString() == before


def test_node_with_a_step_keeps_it_beside_others() -> None:
    model = _model(_rrelu("x", "h", "s"), _rrelu("h", "y"), inputs=[_scalar("s", TensorProto.INT64)])
    wire_step(model)
    assert [list(node.input) for node in our_nodes(model)] == [["x", "s"], ["h", "step"]]


# add_step_input: the same as a pure function


def test_pure_function_takes_a_name() -> None:
    model = _model(*_loop(_rrelu("a", "b"), y="h"), _rrelu("h", "y", seed=4))
    before = model.SerializeToString()
    wired = ort_rrelu.graph.add_step_input(model, "draw")
    assert model.SerializeToString() == before
    assert [v.name for v in wired.graph.input] == ["x", "draw"]
    (y,) = run(session(wired), _X, np.array(7))
    assert_same_bits(y, _drawn(_iterated(_X, 7), 7, 4))


@pytest.mark.parametrize(("model", "_"), _WIRED.values(), ids=_WIRED)
def test_wiring_again_changes_nothing(model: onnx.ModelProto, _: object) -> None:
    wired = ort_rrelu.graph.add_step_input(model)
    assert ort_rrelu.graph.add_step_input(wired) == wired
    assert ort_rrelu.graph.add_step_input(wired, "another") == wired


def test_step_that_nothing_reads_is_taken() -> None:
    """graph.lower leaves one."""
    wired = ort_rrelu.graph.add_step_input(
        _model(_rrelu("x", "y"), inputs=[_scalar("step", TensorProto.INT64)])
    )
    assert [value.name for value in wired.graph.input].count("step") == 1
    (y,) = run(session(wired), _X, np.array(7))
    assert_same_bits(y, _drawn(_X, 7))


@pytest.mark.parametrize("name", ["x", "y", "h"])
def test_name_that_is_taken(name: str) -> None:
    model = _model(_rrelu("x", "h"), _rrelu("h", "y", seed=4))
    with pytest.raises(ort_rrelu.Error, match=f"value named '{name}' already"):
        ort_rrelu.graph.add_step_input(model, name)


_LATER: dict[str, tuple[onnx.ModelProto, Callable[[Array, int], Array]]] = {
    "in a graph": (
        _model(_rrelu("x", "h"), _rrelu("h", "y", seed=4, training=0)),
        lambda x, step: _drawn(_drawn(x, step), step, 4),
    ),
    "in a loop": (
        _model(*_loop(_rrelu("a", "k"), _rrelu("k", "b", training=0))),
        lambda x, step: _iterated(x, step, draws=2),
    ),
    "after a loop": (
        _model(*_loop(_rrelu("a", "b"), y="h"), _rrelu("h", "y", seed=4, training=0)),
        lambda x, step: _drawn(_iterated(x, step), step, 4),
    ),
    "in a scan": (
        _model(helper.make_node(
            "Scan", ["x"], ["y"], num_scan_inputs=1,
            body=_scan_body(_rrelu("r", "k"), _rrelu("k", "s", training=0)),
        )),
        lambda x, step: _rows(_rows(x, step), step),
    ),
}  # fmt: skip


@pytest.mark.parametrize(("model", "expected"), _LATER.values(), ids=_LATER)
def test_nodes_that_train_later_read_the_step_that_is_there(
    model: onnx.ModelProto, expected: Callable[[Array, int], Array]
) -> None:
    later = ort_rrelu.graph.add_step_input(
        ort_rrelu.graph.set_training(ort_rrelu.graph.add_step_input(model), True)
    )
    onnx.checker.check_model(later, full_check=True)
    assert [v.name for v in later.graph.input] == ["x", "step"]
    for step in _STEPS:
        assert_same_bits(run(session(later), _X, np.array(step))[0], expected(_X, step))


@pytest.mark.parametrize(("name", "kind"), [("", ValueError), (3, TypeError), (None, TypeError)])
def test_names_that_are_none(name: Any, kind: type[Exception]) -> None:
    with pytest.raises(kind, match=f"name={name!r}") as caught:
        ort_rrelu.graph.add_step_input(_model(_rrelu("x", "y")), name)
    assert isinstance(caught.value, ort_rrelu.Error)
