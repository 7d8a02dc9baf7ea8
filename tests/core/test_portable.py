"""portable: what it does to a model. That the functions are right: test_functions.py."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper
from onnx.reference import ReferenceEvaluator

import ort_rrelu
from ort_rrelu import reference
from ort_rrelu.functions import OLDEST_OPSET
from ort_rrelu.graph.check import check_model
from ort_rrelu.graph.nodes import our_nodes
from tests.bits import assert_same_bits
from tests.onnx_models import FLOAT, FLOAT16, Array, parsed, rrelu_model, run, session, step_of

_X = np.random.default_rng(7).normal(size=(4, 6)).astype(np.float32)
_SEED, _STEP = 5, 2**40 + 3


def _run(model: onnx.ModelProto, *arrays: Array) -> list[Array]:
    """Without the library, at its defaults, in a model that onnx's checker passes."""
    onnx.checker.check_model(model, full_check=True)
    return run(onnxruntime.InferenceSession(model.SerializeToString()), *arrays)


def _drawn(x: Array, lower: float = 0.1, step: int = _STEP, seed: int = _SEED) -> Array:
    return np.asarray(reference.rrelu(x, lower, 0.5, True, seed=seed, step=step))


_TRAIN = f"ort_rrelu.RRelu <training = 1, lower = 0.1, upper = 0.5, seed = {_SEED}>"
_EVAL = "ort_rrelu.RRelu <training = 0, lower = 0.1, upper = 0.5, seed = -1>"


# models


@pytest.mark.parametrize(
    ("outputs", "with_step", "training"),
    list(itertools.product([["y"], ["y", "noise"], ["y", ""]], [True, False], [0, 1])),
    ids=str,
)
def test_node_lists_what_its_function_has(outputs: list[str], with_step: bool, training: int) -> None:
    model = ort_rrelu.graph.portable(
        rrelu_model(outputs=outputs, with_step=with_step, step_shape=[], shape=[4, 6], training=training)
    )
    (node,), (function,) = our_nodes(model), model.functions
    assert list(function.input) == ["X", "step"][: len(node.input)]
    assert list(function.output) == ["Y", "noise"][: len(node.output)]
    assert (len(node.input), len(node.output)) == (1 + with_step, 1 + ("noise" in outputs))
    assert all(node.input) and all(node.output)
    _run(model, _X, *([step_of(1).reshape(())] if with_step else []))


def test_eval_nodes_get_the_step_that_train_nodes_have() -> None:
    model = ort_rrelu.graph.portable(parsed(
        f"net (float[4,6] x, int64 step) => (float[4,6] y) {{ a = {_EVAL} (x) y = {_TRAIN} (a, step) }}"
    ))  # fmt: skip
    assert [list(node.input) for node in our_nodes(model)] == [["x", "step"], ["a", "step"]]
    expected = _drawn(np.asarray(reference.rrelu(_X, 0.1, 0.5)))
    assert_same_bits(_run(model, _X, np.array(_STEP))[0], expected)


def test_eval_nodes_get_no_steps_of_the_rows_of_another_x() -> None:
    model = ort_rrelu.graph.portable(parsed(
        f"net (float[4,6] x, int64[n] step) => (float[4,6] y) {{ e = {_EVAL} (x) f = Flatten <axis = 0> (e) "
        f"g = {_EVAL} (f) s = Shape (x) a = Reshape (g, s) y = {_TRAIN} (a, step) }}"
    ))  # fmt: skip
    steps = np.array([3, 5, -7, 3])
    x = np.asarray(reference.rrelu(reference.rrelu(_X, 0.1, 0.5), 0.1, 0.5))
    expected = np.asarray(reference.rrelu(x, 0.1, 0.5, True, seed=_SEED, step=steps))
    assert_same_bits(_run(model, _X, steps)[0], expected)
    assert_same_bits(run(session(model), _X, steps)[0], expected)


def test_eval_nodes_get_a_constant_where_the_step_is_no_input() -> None:
    model = ort_rrelu.graph.portable(parsed(
        f"net (float[4,6] x) => (float[4,6] y) <int64 k = {{{_STEP}}}>"
        f"{{ s = Identity(k) a = {_EVAL} (x) y = {_TRAIN} (a, s) }}"
    ))  # fmt: skip
    assert_same_bits(_run(model, _X)[0], _drawn(np.asarray(reference.rrelu(_X, 0.1, 0.5))))


def test_noise_of_one_node_is_read() -> None:
    model = ort_rrelu.graph.portable(parsed(
        "net (float[4,6] x, int64 step) => (float[4,6] y, float[4,6] n)"
        f"{{ a = {_TRAIN} (x, step) a_noise = Identity(a) y, n = {_TRAIN} (a_noise, step) }}"
    ))  # fmt: skip
    assert all(len(node.output) == 2 for node in our_nodes(model))
    y, noise = _run(model, _X, np.array(_STEP))
    a = _drawn(_X)
    assert_same_bits(y, _drawn(a))
    assert_same_bits(y, a * noise)


def test_bodies_and_functions_of_the_model() -> None:
    model = ort_rrelu.graph.portable(parsed(
        f"""net (float[4,6] x, int64 step, bool c) => (float[4,6] y) {{
            a = own.Block <mode = 1> (x, step)
            y = If (c) <then_branch = t () => (float[4,6] u) {{ u = {_TRAIN} (a, step) }},
                        else_branch = e () => (float[4,6] v) {{ v = {_EVAL} (a) }}> }}""",
        functions="""
        <domain: "own", opset_import: ["": 18, "ort_rrelu": 1]> Block <mode> (x, step) => (y) {
            y = ort_rrelu.RRelu <training: int = @mode, lower = 0.1, upper = 0.5, seed = 5> (x, step) }""",
    ))  # fmt: skip
    assert [f.name for f in model.functions] == ["Block", "RRelu"]
    for condition, expected in (
        (True, _drawn(_drawn(_X))),
        (False, np.asarray(reference.rrelu(_drawn(_X), 0.1, 0.5))),
    ):
        assert_same_bits(_run(model, _X, np.array(_STEP), np.array(condition))[0], expected)


@pytest.mark.parametrize("training", [0, 1])
def test_reserve_becomes_noise(training: int) -> None:
    forward = _TRAIN if training else _EVAL
    model = ort_rrelu.graph.portable(parsed(
        "net (float[4,6] x, float[4,6] dy, int64 step) => (float[4,6] y, float[4,6] dx)"
        f"{{ y, , r = {forward} (x, step) dx = ort_rrelu.RReluGrad (dy, r) }}"
    ))  # fmt: skip
    y, dx = _run(model, _X, _X[::-1].copy(), np.array(_STEP))
    expected, reserve = reference.rrelu(
        _X, 0.1, 0.5, bool(training), seed=_SEED, step=_STEP, return_reserve=True
    )
    assert_same_bits(y, expected)
    assert_same_bits(dx, reference.rrelu_grad(_X[::-1], reserve))


def test_attributes_that_are_left_out_are_written() -> None:
    model = ort_rrelu.graph.portable(rrelu_model(outputs=["y"], shape=[4, 6], lower=0, upper=1))
    written = {a.name: helper.get_attribute_value(a) for a in our_nodes(model)[0].attribute}
    assert written == {"lower": 0.0, "upper": 1.0, "training": 0, "seed": -1}
    assert isinstance(written["lower"], float)
    assert_same_bits(_run(model, _X)[0], np.asarray(reference.rrelu(_X, 0, 1)))


@pytest.mark.parametrize(("with_step", "training"), [(True, 1), (False, 0), (False, 1)])
def test_portable_again_changes_nothing(with_step: bool, training: int) -> None:
    once = ort_rrelu.graph.portable(rrelu_model(with_step=with_step, training=training))
    assert ort_rrelu.graph.portable(once) == once


def test_model_is_not_changed() -> None:
    model = _rich_model(opset=13, ir_version=7)
    before = model.SerializeToString()
    ort_rrelu.graph.portable(model)
    assert model.SerializeToString() == before


def test_model_without_rrelu_is_returned_as_it_is() -> None:
    model = parsed("net (float[n] x) => (float[n] y) { y = Relu(x) }", opset=11, ir_version=6)
    assert ort_rrelu.graph.portable(model) == model


# opset, IR version, and what a model has besides


def _rich_model(*, opset: int, ir_version: int) -> onnx.ModelProto:
    """With attributes that became inputs in opset 18, a body, metadata, documentation, names."""
    model = parsed(
        f"""net (float[4,6] x, int64 step, bool c) => (float[4,1] y, float[6] z)
            <float[6] w = {{1, 2, 3, 4, 5, 6}}> {{
            [first] r = {_TRAIN} (x, step)
            [scaled] q = Mul(r, w)
            [mean] y = ReduceMean <axes = [1], keepdims = 1> (q)
            z = If (c) <then_branch = t () => (float[6] u) {{ u = ReduceMax <axes = [0], keepdims = 0> (q) }},
                        else_branch = e () => (float[6] v)
                            {{ v = ReduceMin <axes = [0], keepdims = 0> (q) }}> }}""",
        opset=opset,
        ir_version=ir_version,
    )
    model.producer_name, model.doc_string, model.graph.doc_string = "me", "a model", "a graph"
    model.metadata_props.add(key="a", value="b")
    model.graph.node[0].metadata_props.add(key="c", value="d")
    model.graph.value_info.append(helper.make_tensor_value_info("q", FLOAT, [4, 6]))
    return model


@pytest.mark.parametrize("opset", [13, 15, 17])
def test_older_opset_is_converted(opset: int) -> None:
    model = _rich_model(opset=opset, ir_version=7)
    made = ort_rrelu.graph.portable(model)
    assert {e.domain: e.version for e in made.opset_import}[""] == OLDEST_OPSET
    q = _drawn(_X) * np.arange(1, 7, dtype=np.float32)
    for condition, z in ((True, q.max(0)), (False, q.min(0))):
        outputs = _run(made, _X, np.array(_STEP), np.array(condition))
        np.testing.assert_allclose(outputs[0], q.mean(1, keepdims=True), rtol=1e-6)
        assert_same_bits(outputs[1], z)
    assert (made.producer_name, made.doc_string, made.graph.doc_string) == ("me", "a model", "a graph")
    assert made.metadata_props == model.metadata_props
    assert made.graph.node[0].metadata_props == model.graph.node[0].metadata_props
    assert "q" in {value.name for value in made.graph.value_info}
    assert [v.name for v in (*made.graph.input, *made.graph.output)] == ["x", "step", "c", "y", "z"]
    assert {"first", "scaled", "mean"} <= {node.name for node in made.graph.node}


def test_what_is_said_of_values_survives_a_conversion() -> None:
    model = parsed(
        f"""net (float[n] x, int64 step) => (float[n] y) <float[2] w = {{1, 2}}> {{
            a = {_TRAIN} (x, step) b = Add(a, w) y = Relu(b) }}""",
        opset=13,
    )
    graph = model.graph
    graph.value_info.append(helper.make_tensor_value_info("b", FLOAT, ["n"]))
    values = [*graph.input, *graph.output, *graph.value_info]
    for part in (graph, *values, *graph.initializer):
        part.doc_string = "said"
        part.metadata_props.add(key="a", value="b")
    for value in values:
        value.type.denotation = "IMAGE"
    made = ort_rrelu.graph.portable(model).graph
    assert (made.doc_string, made.metadata_props) == (graph.doc_string, graph.metadata_props)
    assert (made.input, made.output) == (graph.input, graph.output)
    assert graph.value_info[0] in made.value_info
    (made_tensor,), (tensor,) = made.initializer, graph.initializer
    assert (made_tensor.doc_string, made_tensor.metadata_props) == ("said", tensor.metadata_props)


@pytest.mark.parametrize("opset", [17, 18])
def test_weights_are_kept_and_those_in_other_files_are_not_read(opset: int, tmp_path: Path) -> None:
    weights = {name: np.random.default_rng(1).normal(size=(6, 600)).astype(np.float32) for name in "uv"}
    model = parsed(
        f"net (float[4,6] x) => (float[4,600] y) {{ r = {_EVAL} (x)"
        "a = MatMul(r, u) b = MatMul(r, v) y = Add(a, b) }",
        opset=opset,
    )
    model.graph.initializer.extend(onnx.numpy_helper.from_array(w, name) for name, w in weights.items())
    onnx.external_data_helper.set_external_data(model.graph.initializer[1], "v.data")
    onnx.save(model, tmp_path / "net.onnx")
    hidden = (tmp_path / "v.data").rename(tmp_path / "elsewhere")
    made = ort_rrelu.graph.portable(tmp_path / "net.onnx")
    hidden.rename(tmp_path / "v.data")
    onnx.save(made, tmp_path / "portable.onnx")
    (y,) = run(onnxruntime.InferenceSession(tmp_path / "portable.onnx"), _X)
    r = np.asarray(reference.rrelu(_X, 0.1, 0.5))
    np.testing.assert_allclose(y, 2 * r @ weights["u"], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("opset", "ir_version", "expected"),
    [(17, 4, 8), (18, 7, 8), (18, 8, 8), (18, 10, 8), (20, 8, 8), (20, 10, 9), (21, 10, 10), (23, 13, 11)],
)
def test_ir_version_is_the_oldest_that_will_do(opset: int, ir_version: int, expected: int) -> None:
    model = parsed(f"net (float[4,6] x) => (float[4,6] y) {{ y = {_EVAL} (x) }}", opset=opset)
    model.ir_version = ir_version
    made = ort_rrelu.graph.portable(model)
    assert made.ir_version == expected
    assert {e.domain: e.version for e in made.functions[0].opset_import} == {"": max(opset, OLDEST_OPSET)}
    onnx.checker.check_model(made, full_check=True)
    (y,) = ReferenceEvaluator(made).run(None, {"x": _X})  # it knows every opset
    assert_same_bits(y, np.asarray(reference.rrelu(_X, 0.1, 0.5)))


def test_model_of_our_nodes_alone_gets_an_opset() -> None:
    model = rrelu_model(outputs=["y"], shape=[4, 6])
    del model.opset_import[0]
    assert_same_bits(_run(ort_rrelu.graph.portable(model), _X)[0], np.asarray(reference.rrelu(_X)))


# the library


def test_kernel_goes_first_where_the_library_is_registered() -> None:
    model = ort_rrelu.graph.portable(rrelu_model(outputs=["y"], training=1, seed=_SEED))
    for of in (session(model), ort_rrelu.InferenceSession(model.SerializeToString())):
        for step in range(3):  # which the function cannot count
            assert_same_bits(
                run(of, _X)[0], np.asarray(reference.rrelu(_X, training=True, seed=_SEED, step=step))
            )


def test_step_input_of_a_portable_model() -> None:
    model = ort_rrelu.graph.portable(rrelu_model(outputs=["y"], shape=[4, 6], training=1, seed=_SEED))
    model = ort_rrelu.graph.add_step_input(model)
    expected = np.asarray(reference.rrelu(_X, training=True, seed=_SEED, step=_STEP))
    assert_same_bits(_run(model, _X, np.array(_STEP))[0], expected)


def test_check_reads_nodes_of_portable_models() -> None:
    model = ort_rrelu.graph.portable(rrelu_model(training=1))
    check_model(model)
    our_nodes(model)[0].attribute.append(helper.make_attribute("trainning", 1))
    with pytest.raises(ValueError, match="unknown attribute 'trainning'"):
        check_model(model)


# refusals


_GRAD = "dx = ort_rrelu.RReluGrad (x, r)"
_REFUSED = {
    "train nodes with and without a step": (
        f"net (float[n] x, int64 s) => (float[n] y) {{ [a] h = {_TRAIN} (x) [b] y = {_TRAIN} (h, s) }}",
        r'RRelu node "a" trains without a step, and ort_rrelu:RRelu node "b" has one',
    ),
    "reserve is an output": (
        f"net (float[n] x) => (float[n] y, uint8[m] r) {{ [a] y, , r = {_TRAIN} (x) }}",
        r'RRelu node "a": standard operators cannot write its reserve "r", and it is an output',
    ),
    "reserve is read by another op": (
        f"net (float[n] x) => (float[n] y, uint8[m] q) {{ [a] y, , r = {_TRAIN} (x) [b] q = Identity(r) }}",
        r"""cannot write its reserve "r", and Identity node 'b' reads it""",
    ),
    "reserve from elsewhere": (
        f"net (float[n] x, uint8[m] r) => (float[n] dx) {{ [a] {_GRAD} }}",
        r'RReluGrad node "a": it reads the reserve "r"',
    ),
    "bounds": (
        "net (float[n] x) => (float[n] y) { [a] y = ort_rrelu.RRelu <lower = 2.0, upper = 1.0> (x) }",
        r'RRelu node "a": lower',
    ),
    "misspelt attribute": (
        "net (float[n] x) => (float[n] y) { [a] y = ort_rrelu.RRelu <trainning = 1> (x) }",
        r"did you mean 'training'",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("text", "message"), _REFUSED.values(), ids=_REFUSED)
def test_refusals(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        ort_rrelu.graph.portable(parsed(text))
    assert isinstance(caught.value, ort_rrelu.Error)


@pytest.mark.parametrize(("lower", "upper", "culprit"), [(0.0, 7e4, "upper"), (-7e4, 0.0, "lower")])
def test_bounds_that_float16_cannot_hold(lower: float, upper: float, culprit: str) -> None:
    attributes: dict[str, Any] = {"lower": lower, "upper": upper, "shape": ["n"], "name": "a"}
    with pytest.raises(ValueError, match=f'node "a": {culprit}'):
        ort_rrelu.graph.portable(rrelu_model(FLOAT16, **attributes))
    ort_rrelu.graph.portable(rrelu_model(FLOAT, **attributes))


@pytest.mark.parametrize("opset", [8, 17])
def test_old_opset_that_cannot_be_converted(opset: int) -> None:
    text = f"net (float[n] x) => (float[n] y) {{ h = {_EVAL} (x) y = own.F (h) }}"
    function = f'<domain: "own", opset_import: ["": {opset}]> F (x) => (y) {{ y = Relu(x) }}'
    with pytest.raises(ValueError, match=f"the model has opset {opset}, and 18 or newer is needed"):
        ort_rrelu.graph.portable(parsed(text, opset=opset, functions=function))


@pytest.mark.parametrize("name", ["absent.onnx", "text.onnx"])
def test_files_that_are_no_models(name: str, tmp_path: Path) -> None:
    (tmp_path / "text.onnx").write_text("not a model")
    with pytest.raises(ort_rrelu.Error, match=name):
        ort_rrelu.graph.portable(tmp_path / name)
