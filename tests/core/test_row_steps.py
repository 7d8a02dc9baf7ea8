"""add_step_input(rows=True): a step for each row, where a walk through the model proves rows to be apart."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

import ort_rrelu
from ort_rrelu import reference
from ort_rrelu.graph import add_step_input
from ort_rrelu.graph.nodes import our_nodes, step_of
from ort_rrelu.serving import can_batch
from tests.bits import assert_same_bits
from tests.onnx_models import Array, parsed, session

_TRAIN = "training = 1, seed = 3, lower = 0.5, upper = 1.5"
_X, _Y = "float[batch,4] x", "float[batch,4] y"


def _rrelu(x: str, y: str, more: str = "") -> str:
    return f"[{y}_node] {y} = ort_rrelu.RRelu <{_TRAIN}> ({x}{more})"


def _net(body: str, inputs: str = _X, more: str = "", output: str = _Y, **kw: Any) -> onnx.ModelProto:
    return parsed(f"g ({inputs}) => ({output}) {more} {{ {body} }}", **kw)


def _transposed(x: str, y: str) -> str:
    return f"{y} = Transpose <perm = [1, 0]> ({x})"


def _loop(body: str, x: str = "x", y: str = "y") -> str:
    return (
        f"n = Constant <value_int = 3> () {y} = Loop (n, , {x}) <body = b (int64 i, bool c, "
        f"float[batch,4] a) => (bool d, float[batch,4] b) {{ d = Identity (c) {body} }}>"
    )


def _if(condition: str, one: str, other: str) -> str:
    return (
        f"{condition} y = If (c) <then_branch = t () => (float[batch,4] b) {{ {one} }}, "
        f"else_branch = e () => (float[batch,4] b) {{ {other} }}>"
    )


_KNOWN = "c = Constant <value = bool {1}> ()"
_ON_SIZE = "s = Constant <value_float = 0.0> () m = ReduceMax <keepdims = 0> (x) c = Greater (m, s)"
_PROVED: dict[str, onnx.ModelProto] = {
    "one node": _net(_rrelu("x", "y")),
    "two nodes": _net(f"{_rrelu('x', 'h')} {_rrelu('h', 'y')}"),
    "one is wired": _net(f"{_rrelu('x', 'h', ', step')} {_rrelu('h', 'y')}", f"{_X}, int64[batch] step"),
    "a scalar step is wired": _net(f"{_rrelu('x', 'h', ', step')} {_rrelu('h', 'y')}", f"{_X}, int64 step"),
    "a step that nothing reads": _net(_rrelu("x", "y"), f"{_X}, int64[n] step"),
    "an eval node": _net(f"h = ort_rrelu.RRelu (x) {_rrelu('h', 'y')}"),
    "an eval node reads the step": _net(
        f"w = ort_rrelu.RRelu (k, step) h = Add (x, w) {_rrelu('h', 'y', ', step')}",
        f"{_X}, int64 step",
        "<float[1,4] k = {1, -2, 3, -4}>",
    ),
    "moved and back": _net(f"{_transposed('x', 't')} {_transposed('t', 'h')} {_rrelu('h', 'y')}"),
    "folded and back": _net(
        f"f = Reshape (x, one) h = Reshape (f, two) {_rrelu('h', 'y')}",
        more="<int64[2] one = {-1, 2}, int64[2] two = {-1, 4}>",
    ),
    "two inputs": _net(f"h = Add (x, z) {_rrelu('h', 'y')}", f"{_X}, float[batch,4] z"),
    "a table beside": _net(
        f"k = ReduceSum <keepdims = 1> (z) h = Add (x, k) {_rrelu('h', 'y')}", f"float[n,3] z, {_X}"
    ),
    "loop": _net(_loop(_rrelu("a", "b"))),
    "branches": _net(_if(_KNOWN, _rrelu("x", "b"), "b = Neg (x)")),
    "node after a loop": _net(f"{_loop(_rrelu('a', 'b'), y='h')} {_rrelu('h', 'y')}"),
}  # fmt: skip


def _feed(model: onnx.ModelProto, rows: int) -> dict[str, Array]:
    random = np.random.default_rng(7)
    shapes = {v.name: [d.dim_value or rows for d in v.type.tensor_type.shape.dim] for v in model.graph.input}
    fed = {n: random.standard_normal(shape).astype(np.float32) for n, shape in shapes.items() if n != "step"}
    steps = random.integers(-(2**63), 2**63 - 1, rows)
    return {**fed, "step": np.where(np.arange(rows) % 3 == 2, 1, steps)}  # some are equal


def _check_rows_alone(model: onnx.ModelProto, rows: int = 7, library: bool = True) -> None:
    """Every row of y has the bits that it has alone; other inputs than those of the batch stay whole."""
    first = {v.name: next(iter(v.type.tensor_type.shape.dim)).dim_param for v in model.graph.input}
    bytes_ = model.SerializeToString()
    of = session(model) if library else onnxruntime.InferenceSession(bytes_)
    fed = _feed(model, rows)
    whole: Array = of.run(None, fed)[0]
    for n in range(rows):
        own = {name: a[n : n + 1] if first[name] == first["step"] else a for name, a in fed.items()}
        assert_same_bits(of.run(None, own)[0], whole[n : n + 1])


def _dims(model: onnx.ModelProto, name: str = "step") -> list[int | str]:
    value = next(value for value in model.graph.input if value.name == name)
    return [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]


@pytest.mark.parametrize("model", _PROVED.values(), ids=_PROVED)
def test_rows_draw_as_alone(model: onnx.ModelProto) -> None:
    before = model.SerializeToString()
    wired = add_step_input(model, rows=True)
    assert model.SerializeToString() == before
    onnx.checker.check_model(wired)
    assert _dims(wired) == ["batch"]
    _check_rows_alone(wired)
    assert add_step_input(wired, rows=True) == wired
    assert add_step_input(wired) == wired


@pytest.mark.parametrize(
    "name", ["two nodes", "an eval node", "an eval node reads the step", "loop", "branches"]
)
def test_portable_models_and_lowered_ones_draw_the_same(name: str) -> None:
    wired = add_step_input(ort_rrelu.graph.portable(_PROVED[name]), rows=True)
    onnx.checker.check_model(wired)
    _check_rows_alone(wired, library=False)
    lowered = ort_rrelu.graph.lower(wired, exact=True)
    fed = _feed(wired, 7)
    expected = session(wired).run(None, fed)[0]
    plain = (onnxruntime.InferenceSession(m.SerializeToString()) for m in (wired, lowered))
    for of in plain:
        assert_same_bits(of.run(None, fed)[0], expected)


def test_a_loop_adds_its_iteration_to_each_step() -> None:
    wired = add_step_input(_PROVED["loop"], rows=True)
    fed = _feed(wired, 7)
    x = fed["x"]
    for iteration in range(3):
        x = np.asarray(
            reference.rrelu(x, 0.5, 1.5, True, seed=3, step=fed["step"] + np.int64(iteration << 32))
        )
    assert_same_bits(session(wired).run(None, fed)[0], x)


def test_scan_over_another_axis() -> None:
    body = "(float[batch,4] r) => (float[batch,4] s) { " + _rrelu("r", "s") + " }"
    model = _net(
        f"y = Scan <num_scan_inputs = 1, scan_input_axes = [1], scan_output_axes = [1], body = b {body}> (x)",
        "float[batch,3,4] x",
        output="float[batch,3,4] y",
    )
    _check_rows_alone(add_step_input(model, rows=True))


def test_a_first_dimension_of_a_fixed_size() -> None:
    model = _net(_rrelu("x", "y"), "float[5,4] x", output="float[5,4] y")
    wired = add_step_input(model, rows=True)
    assert _dims(wired) == [5]
    fed = _feed(wired, 5)
    expected = reference.rrelu(fed["x"], 0.5, 1.5, True, seed=3, step=fed["step"])
    assert_same_bits(session(wired).run(None, fed)[0], np.asarray(expected))


def test_nodes_that_train_later_need_a_proof_too() -> None:
    model = _net(f"{_rrelu('x', 'h')} s = Softmax <axis = 0> (h) y = ort_rrelu.RRelu (s)")
    wired = ort_rrelu.graph.portable(add_step_input(model, rows=True))
    with pytest.raises(ort_rrelu.Error, match=r'output "y" is not known.*Softmax node'):
        ort_rrelu.graph.set_training(wired, True)
    apart = _net(f"{_rrelu('x', 'h')} s = Softmax <axis = 1> (h) y = ort_rrelu.RRelu <seed = 4> (s)")
    later = ort_rrelu.graph.set_training(ort_rrelu.graph.portable(add_step_input(apart, rows=True)), True)
    assert {step_of(node) for node in our_nodes(later)} == {"step"}
    _check_rows_alone(later)


def test_requests_may_share_a_run() -> None:
    assert can_batch(add_step_input(_PROVED["two nodes"], rows=True))
    assert not can_batch(add_step_input(_PROVED["two nodes"]))


_ABSENT = {
    "no node of ours": _net("y = Neg (x)"),
    "eval node": _net("y = ort_rrelu.RRelu (x)"),
}


@pytest.mark.parametrize("model", _ABSENT.values(), ids=_ABSENT)
def test_nothing_to_wire(model: onnx.ModelProto) -> None:
    assert add_step_input(model, rows=True) == model


_REFUSED: dict[str, tuple[onnx.ModelProto, str]] = {
    "folded": (
        _net(f"f = Reshape (x, one) {_rrelu('f', 'h')} y = Reshape (h, two)",
             more="<int64[2] one = {-1, 2}, int64[2] two = {-1, 4}>"),
        'node "h_node" takes steps that are not one for each row of its X',
    ),
    "time first": (
        _net(f"{_transposed('x', 't')} {_rrelu('t', 'h')} {_transposed('h', 'y')}"),
        'node "h_node" takes steps that are not one for each row of its X',
    ),
    "a shape that cuts rows": (
        _net(f"{_transposed('x', 't')} h = Reshape (t, one) {_rrelu('h', 'k')} y = Reshape (k, two)",
             more="<int64[2] one = {-1, 4}, int64[2] two = {-1, 4}>"),
        'node "k_node".*: Reshape node with output "h"',
    ),
    "BatchNormalization in train mode": (
        _net(f"h, m, v = BatchNormalization <training_mode = 1> (x, s, s, s, s) {_rrelu('h', 'y')}",
             more="<float[4] s = {1, 1, 1, 1}>"),
        'node "y_node".*: BatchNormalization node with output "h" is in train mode',
    ),
    "Softmax over the rows": (
        _net(f"h = Softmax <axis = 0> (x) {_rrelu('h', 'y')}"),
        'node "y_node".*: Softmax node with output "h" works along the batch',
    ),
    "Gather of rows": (
        _net(f"h = Gather <axis = 0> (x, i) {_rrelu('h', 'y')}", more="<int64[2] i = {0, 0}>"),
        'node "y_node".*: Gather node with output "h" works along the batch',
    ),
    "a weight": (
        _net(f"{_rrelu('w', 'h')} y = Mul (x, h)", more="<float[1,4] w = {-1, 2, -3, 4}>"),
        'node "h_node" has an X that is the same for every batch',
    ),
    "the second of two nodes": (
        _net(f"{_rrelu('x', 'h')} k = CumSum (h, i) {_rrelu('k', 'y')}", more="<int64 i = {0}>"),
        'node "y_node".*: CumSum node',
    ),
    "a node that nothing reads": (
        _net(f"y = Neg (x) h = Softmax <axis = 0> (x) {_rrelu('h', 'k')}"), 'node "k_node".*: Softmax node'
    ),
    "two inputs with other first dimensions": (
        _net(f"{_rrelu('x', 'h')} {_rrelu('z', 'k')} s = ReduceSum <keepdims = 0> (k) y = Add (h, s)",
             f"{_X}, float[n,4] z"),
        'first dimension "batch".*node "k_node" has an X that is the same',
    ),
    "an unknown operator": (
        parsed(f"g ({_X}) => ({_Y}) {{ h = own.F (x) {_rrelu('h', 'y')} }}"),
        'node "y_node".*: own:F node with output "h" is not known to keep',
    ),
    "a dimension without a name": (
        _net(_rrelu("x", "y"), "float[?,4] x", output="float[?,4] y"), r'no input has a first.*"x".*dim_param'
    ),
    "a scalar": (_net(_rrelu("x", "y"), "float[] x", output="float[] y"), "no input has a first"),
    "a constant step": (
        _net(f"{_rrelu('x', 'h', ', k')} {_rrelu('h', 'y')}", more="<int64 k = {5}>"),
        'node "h_node" is in train mode.*remove its step, which is one for all rows',
    ),
    "a step that others read": (
        _net(f"{_rrelu('x', 'h', ', step')} s = Cast <to = 1> (step) y = Add (h, s)", f"{_X}, int64 step"),
        "Cast node.*reads 'step' too",
    ),
    "a loop that mixes after the draw": (
        _net(_loop(f"{_rrelu('a', 'k')} b = CumSum (k, j)"), more="<int64 j = {0}>"),
        'node "k_node".*: CumSum node',
    ),
    "a branch that the batch decides": (
        _net(_if(_ON_SIZE, _rrelu("x", "b"), "b = Neg (x)")), 'node "b_node".*: ReduceMax node'
    ),
}  # fmt: skip


@pytest.mark.parametrize(("model", "message"), _REFUSED.values(), ids=_REFUSED)
def test_refused_with_the_nodes_name(model: onnx.ModelProto, message: str) -> None:
    before = model.SerializeToString()
    with pytest.raises(ort_rrelu.Error, match=message) as caught:
        add_step_input(model, rows=True)
    assert isinstance(caught.value, ValueError)
    assert model.SerializeToString() == before
    add_step_input(model, rows=False)  # one step for all is no matter of proofs


def test_a_loop_in_a_loop_is_refused() -> None:
    with pytest.raises(ort_rrelu.Error, match="inside another loop"):
        add_step_input(_net(_loop(_loop(_rrelu("a", "b"), "a", "b"))), rows=True)


def test_a_row_step_in_a_function_is_refused() -> None:
    function = (
        '<opset_import: ["": 18, "ort_rrelu": 1], domain: "own"> '
        f"F (a, s) => (b) {{ {_rrelu('a', 'b', ', s')} }}"
    )
    model = parsed(f"g ({_X}, int64 s) => ({_Y}) {{ h = own.F (x, s) {_rrelu('h', 'y')} }}", function)
    with pytest.raises(ort_rrelu.Error, match="is in function F: inline it first"):
        add_step_input(model, rows=True)


@pytest.mark.parametrize("rows", ["rows", 1, None])
def test_rows_is_a_switch(rows: Any) -> None:
    with pytest.raises(TypeError, match=f"rows={rows!r}"):
        add_step_input(_net(_rrelu("x", "y")), rows=rows)
