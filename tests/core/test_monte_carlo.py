"""monte_carlo: each draw of each row is that of NumPy at its step, whatever shares a run with it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto

import ort_rrelu
from ort_rrelu import graph
from tests.bits import assert_same_bits
from tests.onnx_models import Array, parsed, session, stock_session

_SEED = 7
_RRELU = "ort_rrelu.RRelu <training = 1, seed = 7>"


def _model(
    nodes: str = "y = {rrelu} (x, step)", *, inputs: str = "", batch: str = "batch"
) -> onnx.ModelProto:
    text = f"""net (float[{batch},5] x, int64[{batch}] step{inputs}) => (float[{batch},5] y) {{
        {nodes.format(rrelu=_RRELU)} }}"""
    return parsed(text)


def _ours(model: onnx.ModelProto, *, seed: int | None = None) -> onnxruntime.InferenceSession:
    return ort_rrelu.InferenceSession(model.SerializeToString(), seed=seed)


_SESSIONS: dict[str, Callable[[onnx.ModelProto], onnxruntime.InferenceSession]] = {
    "ours": _ours,
    "registered": session,
    "portable without the library": lambda model: stock_session(graph.portable(model)),
    "lowered": lambda model: _ours(graph.lower(model, exact=True)),
}


def _rows(number: int = 3) -> Array:
    return np.random.default_rng(3).normal(size=(number, 5)).astype(np.float32)


def _expected(x: Array, draws: int, step: Any) -> Array:
    """Row by row and draw by draw, with steps in Python's integers."""
    steps = np.broadcast_to(step, len(x)).tolist()

    def row(k: int, n: int) -> Array:
        wrapped = (steps[n] + (k << 48) + 2**63) % 2**64 - 2**63
        return ort_rrelu.rrelu(x[n : n + 1], training=True, seed=_SEED, step=wrapped)

    return np.array([np.concatenate([row(k, n) for n in range(len(x))]) for k in range(draws)])


@pytest.mark.parametrize("make", _SESSIONS.values(), ids=_SESSIONS)
@pytest.mark.parametrize("rows", [1, 2, 7, 64])
@pytest.mark.parametrize("step", [3, np.int64(-1), [4], np.array([2**62, -5, -5])], ids=str)
def test_a_draw_is_at_its_step_whatever_shares_the_run(
    make: Callable[[onnx.ModelProto], onnxruntime.InferenceSession], rows: int, step: Any
) -> None:
    x = _rows()
    (drawn,) = ort_rrelu.monte_carlo(make(_model()), {"x": x}, 5, step=step, rows=rows).values()
    assert_same_bits(drawn, _expected(x, 5, step))


def test_draws_beyond_the_sign_bit() -> None:
    x = -np.ones((1, 5), np.float32)
    drawn = ort_rrelu.monte_carlo(_ours(_model()), {"x": x}, 2**16, step=5, rows=8192)["y"]
    for k in (2**15 - 1, 2**15, 2**16 - 1):
        wrapped = (5 + (k << 48) + 2**63) % 2**64 - 2**63
        assert_same_bits(drawn[k], ort_rrelu.rrelu(x, training=True, seed=_SEED, step=wrapped))


def test_one_step_is_one_function_for_all_rows() -> None:
    x = -np.ones((4, 5), np.float32)
    for draw in ort_rrelu.monte_carlo(_ours(_model()), {"x": x}, 3)["y"]:
        assert (draw == draw[0]).all()
    independent = ort_rrelu.monte_carlo(_ours(_model()), {"x": x}, 3, step=np.arange(4))["y"]
    assert (independent[:, 0] != independent[:, 1]).any(axis=1).all()


def test_no_rows() -> None:
    drawn = ort_rrelu.monte_carlo(_ours(_model()), {"x": _rows(0)}, 4, step=np.zeros(0, np.int64))
    assert drawn["y"].shape == (4, 0, 5)


@pytest.mark.parametrize("number", [1, 3, 4, 6])
def test_a_fixed_number_of_rows_is_filled_up(number: int) -> None:
    x = _rows(number)
    drawn = ort_rrelu.monte_carlo(_ours(_model(batch="4")), {"x": x}, 3, step=9)["y"]
    assert_same_bits(drawn, _expected(x, 3, 9))


def test_inputs_without_rows_are_passed_on() -> None:
    model = _model("r = {rrelu} (x, step) y = Mul (r, scale)", inputs=", float[k] scale")
    x, scale = _rows(), np.array([2], np.float32)
    for rows in (2, 64):
        drawn = ort_rrelu.monte_carlo(_ours(model), {"x": x, "scale": scale}, 4, rows=rows)["y"]
        assert_same_bits(drawn, 2 * _expected(x, 4, 0))


def test_inputs_with_rows_are_repeated_with_them() -> None:
    model = _model("r = {rrelu} (x, step) y = Add (r, z)", inputs=", float[batch,5] z")
    x, z = _rows(), 10 * _rows()[::-1]
    drawn = ort_rrelu.monte_carlo(_ours(model), {"z": z, "x": x}, 4, rows=5)["y"]
    assert_same_bits(drawn, _expected(x, 4, 0) + z)


def test_steps_under_another_name_and_in_a_loop() -> None:
    text = f"""net (float[batch,5] x) => (float[batch,5] y) {{
        n = Constant <value = int64[1] {{2}}> () t = Constant <value = bool {{1}}> ()
        y = Loop (n, t, x) <body = b (int64 i, bool go, float[batch,5] v) => (bool more, float[batch,5] w) {{
            more = Identity (go) w = {_RRELU} (v) }}> }}"""
    model = graph.add_step_input(parsed(text), "draw", rows=True)
    x = -np.ones((2, 5), np.float32)
    drawn = ort_rrelu.monte_carlo(_ours(model), {"x": x}, 3, step=[3, 8], rows=4)["y"]
    for k in range(3):
        twice = x
        for iteration in range(2):
            steps = np.array([3, 8]) + (k << 48) + (iteration << 32)
            twice = ort_rrelu.rrelu(twice, training=True, seed=_SEED, step=steps)
        assert_same_bits(drawn[k], twice)


def test_the_seed_of_a_session_serves_nodes_without_one() -> None:
    model = _model("y = ort_rrelu.RRelu <training = 1> (x, step)")
    x = -np.ones((3, 5), np.float32)
    a, b = (ort_rrelu.monte_carlo(_ours(model, seed=2), {"x": x}, 4)["y"] for _ in range(2))
    assert_same_bits(a, b)


@pytest.mark.onnxruntime("1.22")  # older ones cannot be fed bfloat16 from Python
def test_bfloat16() -> None:
    import ml_dtypes

    model = parsed(f"net (bfloat16[n,5] x, int64[n] step) => (bfloat16[n,5] y) {{ y = {_RRELU} (x, step) }}")
    x = _rows().astype(ml_dtypes.bfloat16)
    drawn = ort_rrelu.monte_carlo(_ours(model), {"x": x}, 4, rows=5)["y"]
    assert_same_bits(drawn, _expected(x, 4, 0))


_GOOD: dict[str, Any] = {"inputs": {"x": _rows()}, "draws": 2}
_TWO = _model("r = {rrelu} (x, step) y = Add (r, z)", inputs=", float[batch,5] z")
_BAD_ARGUMENTS: dict[str, tuple[onnx.ModelProto, dict[str, Any], type[Exception], str]] = {
    "no draws": (_model(), {"draws": 0}, ValueError, "draws=0: it must be 1 or more, and at most 65536"),
    "negative draws": (_model(), {"draws": -1}, ValueError, "draws=-1: "),
    "too many draws": (_model(), {"draws": 65537}, ValueError, "draws=65537: "),
    "a bool": (_model(), {"draws": True}, TypeError, "draws=True is not an integer"),
    "half a draw": (_model(), {"draws": 1.5}, TypeError, "draws=1.5 is not an integer"),
    "no rows in a run": (_model(), {"rows": 0}, ValueError, "rows=0: it must be 1 or more"),
    "rows of True": (_model(), {"rows": True}, TypeError, "rows=True is not an integer"),
    "a column of steps": (
        _model(),
        {"step": np.zeros((3, 1), np.int64)},
        ValueError,
        "step has shape [3, 1]: it must have one element, or shape [3], one for each row",
    ),
    "other steps": (_model(), {"step": [1, 2]}, ValueError, "step has shape [2]: it must have one element"),
    "steps of float": (_model(), {"step": np.zeros(3)}, TypeError, "step is of type float64: "),
    "a step of bool": (_model(), {"step": True}, TypeError, "step=True: it must be an integer"),
    "a step of 65 bits": (_model(), {"step": 2**63}, ValueError, "step="),
    "inputs in a list": (_model(), {"inputs": [_rows()]}, TypeError, "inputs is of type list"),
    "no input": (_model(), {"inputs": {}}, ValueError, "inputs lacks 'x': its inputs are x"),
    "unknown": (
        _model(),
        {"inputs": {"x": _rows(), "z": _rows()}},
        ValueError,
        "inputs has 'z', but the model has no such input: its inputs are x",
    ),
    "steps among the inputs": (
        _model(),
        {"inputs": {"x": _rows(), "step": np.zeros(3, np.int64)}},
        ValueError,
        "inputs has 'step': leave it out, and give step=",
    ),
    "double": (_model(), {"inputs": {"x": _rows().astype(float)}}, TypeError, 'input "x" has dtype float64'),
    "no array": (
        _model(),
        {"inputs": {"x": [[1.0], [1.0, 2.0]]}},
        TypeError,
        'input "x" is of type list, and no array: ',
    ),
    "no array of steps": (
        _model(),
        {"step": [[1], [1, 2]]},
        TypeError,
        "step is of type list, and no array: ",
    ),
    "another size": (
        _model(),
        {"inputs": {"x": _rows()[:, 1:]}},
        ValueError,
        'input "x" has shape [3, 4], the model wants [batch, 5]',
    ),
    "two sizes of one dimension": (
        _TWO,
        {"inputs": {"x": _rows(), "z": _rows(1)}},
        ValueError,
        'input "z" has shape [1, 5], the model wants [batch, 5] with batch=3',
    ),
    "two numbers of rows": (
        _model("r = {rrelu} (x, step) y = Add (r, z)", inputs=", float[4,5] z", batch="4"),
        {"inputs": {"x": _rows(), "z": _rows(1)}},
        ValueError,
        'the inputs have different numbers of rows: "x" 3, "z" 1',
    ),
    "fewer rows than the model takes": (
        _model(batch="4"),
        {"rows": 3},
        ValueError,
        "rows=3: the model takes 4 rows in a run, no fewer",
    ),
    "no row to fill up with": (
        _model(batch="4"),
        {"inputs": {"x": _rows(0)}},
        ValueError,
        "there is no row: the model takes 4 in a run, no fewer",
    ),
}


@pytest.mark.parametrize(("model", "changed", "kind", "message"), _BAD_ARGUMENTS.values(), ids=_BAD_ARGUMENTS)
def test_bad_arguments(
    model: onnx.ModelProto, changed: Mapping[str, Any], kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind, match="^" + re.escape(message)) as caught:
        ort_rrelu.monte_carlo(_ours(model), **{**_GOOD, **changed})
    assert isinstance(caught.value, ort_rrelu.Error)


def test_what_is_no_session() -> None:
    with pytest.raises(TypeError, match=r"^session is of type ModelProto: "):
        ort_rrelu.monte_carlo(_model(), **_GOOD)


_ROWS = 'step_input="rows"'
_REFUSED: dict[str, tuple[str, str]] = {
    "no step": (
        "net (float[batch,5] x) => (float[batch,5] y) { y = {rrelu} (x) }",
        'RRelu node with output "y" is in train mode and has no step: export the model with seed= and '
        + _ROWS,
    ),
    "a scalar": (
        "net (float[batch,5] x, int64 step) => (float[batch,5] y) { y = {rrelu} (x, step) }",
        "the model's input 'step' is tensor(int64) of shape [], and no int64 for each row: export",
    ),
    "one element": (
        "net (float[batch,5] x, int64[1] step) => (float[batch,5] y) { y = {rrelu} (x, step) }",
        "no input begins with the dimension 1 of 'step'",
    ),
    "of another dimension": (
        "net (float[batch,5] x, int64[m] step) => (float[batch,5] y) { y = {rrelu} (x, step) }",
        "no input begins with the dimension 'm' of 'step'",
    ),
    "a dimension without a name": (
        "net (float[?,5] x, int64[?] step) => (float[?,5] y) { y = {rrelu} (x, step) }",
        "the model's input 'step' has a dimension without a name",
    ),
    "computed": (
        "net (float[batch,5] x, int64[batch] step) => (float[batch,5] y) "
        "{ s = Neg (step) y = {rrelu} (x, s) }",
        "RRelu node with output \"y\" has a step that is not the model's input 'step' itself: export",
    ),
    "two inputs of steps": (
        "net (float[n,5] x, int64[n] a, int64[n] b) => (float[n,5] y) "
        "{ r = {rrelu} (x, a) y = {rrelu} (r, b) }",
        "the model has several step inputs, a, b: ",
    ),
    "no seed": (
        "net (float[n,5] x, int64[n] step) => (float[n,5] y) "
        "{ y = ort_rrelu.RRelu <training = 1> (x, step) }",
        'RRelu node with output "y" has no seed, so that another session would draw other slopes: ',
    ),
    "eval mode": (
        "net (float[n,5] x, int64[n] step) => (float[n,5] y) { y = ort_rrelu.RRelu (x, step) }",
        "no node in train mode reads an input 'step', so all draws would be the same: ",
    ),
    "another random operator": (
        "net (float[n,5] x, int64[n] step) => (float[n,5] y) "
        "{ r = {rrelu} (x, step) u = RandomUniformLike (r) y = Add (r, u) }",
        'RandomUniformLike node with output "u" draws numbers of its own, which no step repeats: ',
    ),
    "Dropout in train mode": (
        "net (float[n,5] x, int64[n] step, bool mode) => (float[n,5] y) "
        "{ r = {rrelu} (x, step) y = Dropout (r, , mode) }",
        'Dropout node with output "y" draws numbers of its own, which no step repeats: ',
    ),
    "an output without rows": (
        "net (float[n,5] x, int64[n] step) => (float[n,5] y, float m) "
        "{ y = {rrelu} (x, step) m = ReduceMean <keepdims = 0> (y) }",
        "output \"m\" has shape [], and does not begin with the rows 'n' of the step: ",
    ),
    "an output of pairs of rows": (
        "net (float[n,5] x, int64[n] step) => (float[n,n] y) "
        "{ r = {rrelu} (x, step) t = Transpose (r) y = MatMul (r, t) }",
        "output \"y\" has shape [n, n]: rows 'n' on another axis than the first cannot be repeated",
    ),
    "rows that see each other": (
        "net (float[n,5] x, int64[n] step) => (float[n,5] y) "
        "{ r = {rrelu} (x, step) y = Softmax <axis = 0> (r) }",
        'on its place among them (Softmax node with output "y" works along the batch: ',
    ),
}


@pytest.mark.parametrize(("text", "message"), _REFUSED.values(), ids=_REFUSED)
def test_models_that_draw_otherwise(text: str, message: str) -> None:
    model = parsed(text.replace("{rrelu}", _RRELU))
    with pytest.raises(ort_rrelu.errors.InvalidValueError, match=re.escape(message)):
        ort_rrelu.monte_carlo(_ours(model), **_GOOD)


def test_a_node_that_counts_is_seen_in_the_runs_of_a_plain_session() -> None:
    model = _model("r = {rrelu} (x, step) y = {rrelu} (r)")
    with pytest.raises(ort_rrelu.errors.InvalidValueError, match="two runs on the same inputs and steps"):
        ort_rrelu.monte_carlo(session(model), **_GOOD)


_MIXED = {
    "much": "y = Softmax <axis = 0> (r)",
    "little": "m = ReduceMean <axes = [0]> (r) c = Constant <value_float = 1e-4> () d = Mul (m, c) "
    "y = Add (r, d)",
    "with the rows before": "a = Constant <value_int = 0> () y = CumSum (r, a)",
    "with the rows after": "a = Constant <value_int = 0> () y = CumSum <reverse = 1> (r, a)",
    "by their place": "s = Shape <end = 1> (r) z = Constant <value_int = 0> () "
    "o = Constant <value_int = 1> () n = Squeeze (s) p = Range (z, n, o) f = Cast <to = 1> (p) "
    "c = Constant <value_ints = [1]> () "
    "g = Unsqueeze (f, c) y = Add (r, g)",
    "by their number": "s = Shape (r) n = Cast <to = 1> (s) y = Mul (r, n)",
}


@pytest.mark.parametrize("make", [_ours, session], ids=["ours", "plain"])
@pytest.mark.parametrize("nodes", _MIXED.values(), ids=_MIXED)
@pytest.mark.parametrize("number", [1, 2, 20])
def test_rows_that_see_each_other(
    make: Callable[[onnx.ModelProto], onnxruntime.InferenceSession], nodes: str, number: int
) -> None:
    model = _model("r = {rrelu} (x, step) " + nodes)
    model.opset_import[0].version = 17  # the axes of ReduceMean are an attribute
    if nodes == _MIXED["by their number"]:  # one factor for rows, one for columns
        model.graph.node[1].attribute.append(onnx.helper.make_attribute("end", 1))
    with pytest.raises(ort_rrelu.errors.InvalidValueError, match=r'^output "y": a row depends'):
        ort_rrelu.monte_carlo(make(model), {"x": _rows(number)}, 2)


def test_a_proof_takes_the_place_of_trials(tmp_path: Path) -> None:
    """Until the file is another one."""
    file = tmp_path / "m.onnx"
    onnx.save(_model(), file)
    opened = [ort_rrelu.InferenceSession(file) for _ in range(2)]
    runs = _counted_runs(opened[0])
    ort_rrelu.monte_carlo(opened[0], {"x": _rows()}, 2)
    assert len(runs) == 1
    onnx.save(_model("r = {rrelu} (x, step) y = Softmax <axis = 0> (r)"), file)
    runs = _counted_runs(opened[1])
    x = _rows()
    assert_same_bits(ort_rrelu.monte_carlo(opened[1], {"x": x}, 2)["y"], _expected(x, 2, 0))
    assert len(runs) > 1


def _counted_runs(opened: onnxruntime.InferenceSession) -> list[Any]:
    runs: list[Any] = []
    run = opened.run

    def counted(*given: Any) -> Any:
        runs.append(given)
        return run(*given)

    opened.run = counted
    return runs


def test_with_rows_1_each_row_may_have_a_run_to_itself() -> None:
    model = _model("r = {rrelu} (x, step) m = ReduceMean <axes = [0]> (r) y = Sub (r, m)")
    model.opset_import[0].version = 17  # the axes of ReduceMean are an attribute
    drawn = ort_rrelu.monte_carlo(_ours(model), {"x": _rows()}, 2, rows=1)["y"]
    assert (drawn == 0).all()


def test_dropout_in_eval_mode_draws_nothing() -> None:
    model = _model("r = {rrelu} (x, step) y = Dropout (r, , off)")
    model.graph.initializer.append(onnx.helper.make_tensor("off", TensorProto.BOOL, [], [False]))
    x = _rows()
    assert_same_bits(ort_rrelu.monte_carlo(_ours(model), {"x": x}, 2)["y"], _expected(x, 2, 0))


def test_an_output_whose_rows_change_their_shape() -> None:
    """A model may give as many columns as the largest row of a run asks for."""
    model = parsed(f"""net (float[n,5] x, int64[n] step, int64[n] width) => (float[n,k] y) {{
        r = {_RRELU} (x, step) most = ReduceMax <keepdims = 1> (width) zero = Sub (most, most)
        axis = Constant <value = int64[1] {{1}}> () y = Slice (r, zero, most, axis) }}""")
    inputs = {"x": _rows(2), "width": np.array([2, 4])}
    with pytest.raises(
        ort_rrelu.errors.InvalidValueError, match=r'output "y" has rows of shape \[2\] in one'
    ):
        ort_rrelu.monte_carlo(_ours(model), inputs, 1, rows=1)
