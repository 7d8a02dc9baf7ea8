"""lower: standard operators instead of our nodes, with the kernels' bits where these are promised."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from onnx import TensorProto, helper

import ort_rrelu
from ort_rrelu import reference, schema
from ort_rrelu.graph.nodes import all_nodes, graph_nodes
from tests.bits import assert_same_bits
from tests.draws import Draw, by_reference, normal, special_values
from tests.onnx_models import (
    BFLOAT16,
    DOUBLE,
    DTYPES,
    FLOAT,
    FLOAT16,
    Array,
    grad_model,
    parsed,
    rrelu_model,
    run,
    session,
    step_of,
)
from tests.strategies import arrays, draws

_X = np.random.default_rng(7).normal(size=(4, 6)).astype(np.float32)
_SEED, _STEP = 5, 2**40 + 3
_TRAIN = f"ort_rrelu.RRelu <training = 1, lower = 0.1, upper = 0.5, seed = {_SEED}>"
_EVAL = "ort_rrelu.RRelu <training = 0, lower = 0.1, upper = 0.5, seed = -1>"

every_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=[str(d) for d in DTYPES.values()])
noise_or_not = pytest.mark.parametrize("outputs", [["y"], ["y", "noise"]], ids=" ".join)


def _ops(model: onnx.ModelProto) -> list[str]:
    return [node.op_type for node in graph_nodes(model.graph)]


def _stock_session(model: onnx.ModelProto) -> onnxruntime.InferenceSession:
    """Without the library, of a model in which nothing of ours is left."""
    if all(value.type.tensor_type.HasField("shape") for value in model.graph.input):
        onnx.checker.check_model(model, full_check=True)
    domains = {entry.domain for part in (model, *model.functions) for entry in part.opset_import}
    assert schema.DOMAIN not in domains | {node.domain for node in all_nodes(model)}
    assert not any(function.domain == schema.DOMAIN for function in model.functions)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model.SerializeToString(), options, ["CPUExecutionProvider"])


def _run(model: onnx.ModelProto, *inputs: Array, exact: bool = False) -> list[Array]:
    of = _stock_session(ort_rrelu.graph.lower(model, exact=exact))
    given_ = dict(zip([value.name for value in model.graph.input], inputs, strict=True))
    return run(of, *(given_[value.name] for value in of.get_inputs()))  # not always with a step


def _reference(x: Array, *, training: bool = False) -> Array:
    return np.asarray(reference.rrelu(x, 0.1, 0.5, training, seed=_SEED, step=_STEP))


def _with_unknown_type(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same, each value but `step` behind an op that onnx's shape inference does not know."""
    made = onnx.ModelProto()
    made.CopyFrom(model)
    hidden = {value.name for value in (*model.graph.input, *model.graph.output)} - {"step"}
    for node in made.graph.node:
        for names in (node.input, node.output):
            names[:] = [f"{name}_hidden" if name in hidden else name for name in names]

    def hide(value: str, result: str) -> onnx.NodeProto:
        return helper.make_node("ExpandDims", [value, "axis"], [result], domain="com.microsoft")

    made.graph.initializer.append(helper.make_tensor("axis", TensorProto.INT32, [1], [0]))
    for value in (v for v in model.graph.input if v.name in hidden):
        made.graph.node.insert(0, hide(value.name, f"{value.name}_hidden"))
    made.graph.node.extend(hide(f"{v.name}_hidden", v.name) for v in model.graph.output)
    made.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    return made


# eval mode, and train mode with exact=True: the kernel's bits


@functools.lru_cache(maxsize=64)
def _lowered_session(model: bytes) -> onnxruntime.InferenceSession:
    return _stock_session(ort_rrelu.graph.lower(onnx.load_model_from_string(model), exact=True))


def _assert_equal(x: Array, draw: Draw, outputs: list[str] | None = None) -> None:
    attributes: dict[str, Any] = {"lower": draw.lower, "upper": draw.upper, "seed": draw.seed}
    kept = outputs or ["y", "noise"]
    model = rrelu_model(
        schema.DTYPES[x.dtype], outputs=kept, with_step=True, training=int(draw.training), **attributes
    )
    lowered = run(_lowered_session(model.SerializeToString()), x, *[step_of(draw.step)] * draw.training)
    for a, e in zip(lowered, by_reference(x, draw)[: len(kept)], strict=True):
        assert_same_bits(a, e)


@settings(max_examples=60)
@given(arrays(), draws())
def test_bits_are_the_kernels(x: Array, draw: Draw) -> None:
    _assert_equal(x, draw)


_BOUNDS = [(0.125, 1 / 3), (0.1, 0.5), (-0.5, 0.1), (-0.25, 0.25), (0.0, 0.0), (-0.0, -0.0), (1.5, 40.0)]


@every_dtype
@noise_or_not
@pytest.mark.parametrize("training", [False, True], ids=["eval", "train"])
@pytest.mark.parametrize("bounds", _BOUNDS, ids=str)
def test_special_values(bounds: tuple[float, float], training: bool, outputs: list[str], dtype: int) -> None:
    _assert_equal(special_values(dtype), Draw(*bounds, training), outputs)


@pytest.mark.parametrize("dtype", [FLOAT, FLOAT16, DOUBLE])
@pytest.mark.parametrize("training", [0, 1])
@noise_or_not
def test_unknown_element_type(outputs: list[str], training: int, dtype: int) -> None:
    model = rrelu_model(dtype, outputs=outputs, with_step=True, training=training, seed=_SEED, upper=0.3)
    x = special_values(dtype)
    lowered = _run(_with_unknown_type(model), x, step_of(_STEP), exact=True)
    for a, e in zip(lowered, run(session(model), x, step_of(_STEP)), strict=True):
        assert_same_bits(a.reshape(x.shape), e)


@every_dtype
def test_gradient(dtype: int) -> None:
    dy, noise = special_values(dtype), special_values(dtype)[::-1].copy()
    expected = run(session(grad_model(dtype)), dy, noise)[0]
    assert_same_bits(_run(grad_model(dtype), dy, noise)[0], expected)
    if dtype != BFLOAT16:
        (actual,) = _run(_with_unknown_type(grad_model(dtype)), dy, noise)
        assert_same_bits(actual.reshape(dy.shape), expected)


def test_eval_in_float_is_one_leaky_relu() -> None:
    model = parsed(f"net (float[n] x) => (float[n] y) {{ [a] y = {_EVAL} (x) }}", opset=8, ir_version=4)
    lowered = ort_rrelu.graph.lower(model)
    (node,) = lowered.graph.node
    assert (node.op_type, node.name, node.attribute[0].f) == ("LeakyRelu", "a", np.float32(0.3))
    assert {entry.domain: entry.version for entry in lowered.opset_import} == {"": 8, "own": 1}
    assert lowered.ir_version == 4


def test_onnx_runtime_fuses_it_into_a_convolution(tmp_path: Path) -> None:
    model = parsed(
        "net (float[1,2,8,8] x, float[2,2,3,3] w) => (float[1,2,4,4] y)"
        f"{{ a = Conv(x, w) b = {_EVAL} (a) c = Conv(b, w) y = {_EVAL} (c) }}"
    )
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.ones((2, 2, 3, 3), np.float32), "w"))
    del model.graph.input[1]
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
    lowered = ort_rrelu.graph.lower(model).SerializeToString()
    onnxruntime.InferenceSession(lowered, options, ["CPUExecutionProvider"])
    optimized = onnx.load(tmp_path / "optimized.onnx")
    assert "LeakyRelu" not in _ops(optimized)
    fused = [a.s for node in optimized.graph.node for a in node.attribute if a.name == "activation"]
    assert fused == [b"LeakyRelu"] * 2


@pytest.mark.parametrize("seed", [7, 2**62 + 9])
def test_exact_draws_nothing_of_its_own(seed: int) -> None:
    model = rrelu_model(with_step=True, training=1, seed=seed)
    assert not [op for op in _ops(ort_rrelu.graph.lower(model, exact=True)) if op.startswith("Random")]


# train mode by the runtime's generator


@every_dtype
@noise_or_not
@pytest.mark.parametrize("unknown", [False, True], ids=["type known", "type unknown"])
@pytest.mark.parametrize("bounds", [(0.125, 0.25), (-0.5, 0.5), (0.25, 0.25)], ids=str)
def test_slopes_are_between_the_bounds(
    bounds: tuple[float, float], unknown: bool, outputs: list[str], dtype: int
) -> None:
    if unknown and dtype == BFLOAT16:
        return  # no op that hides it takes it
    lower, upper = bounds
    model = rrelu_model(dtype, outputs=outputs, training=1, lower=lower, upper=upper)
    of = _stock_session(ort_rrelu.graph.lower(_with_unknown_type(model) if unknown else model))
    x = normal((50, 40), dtype)
    first, second = ([each.reshape(x.shape) for each in run(of, x)] for _ in range(2))
    assert (first[0] != second[0]).any() == (lower != upper)
    slopes = (first[0][x < 0] / x[x < 0]).astype(np.float64)
    rounding = {BFLOAT16: 2**-7, FLOAT16: 2**-9}.get(dtype, 2**-21)
    assert (lower - rounding <= slopes).all()
    assert (slopes <= upper + rounding).all()
    assert abs(slopes.mean() - (lower + upper) / 2) <= 0.05 * (upper - lower) + rounding
    assert abs(slopes.std() - (upper - lower) / 12**0.5) <= 0.05 * (upper - lower) + rounding
    assert_same_bits(first[0][x > 0], x[x > 0])
    if "noise" in outputs:
        assert (first[1][x > 0] == 1).all()
        wide = np.float64 if dtype == DOUBLE else np.float32
        assert_same_bits(first[0], (x.astype(wide) * first[1].astype(wide)).astype(x.dtype))


@every_dtype
@pytest.mark.parametrize("shape", [(), (0,), (3, 0, 2), (1,), (2, 3, 5)], ids=str)
@pytest.mark.parametrize(("training", "exact"), [(0, False), (1, False), (1, True)])
def test_shapes(training: int, exact: bool, shape: tuple[int, ...], dtype: int) -> None:
    model = rrelu_model(dtype, with_step=True, training=training, seed=1)
    for output in _run(model, normal(shape, dtype), step_of(1), exact=exact):
        assert output.shape == shape


def test_train_in_float_is_what_torch_writes() -> None:
    lowered = ort_rrelu.graph.lower(rrelu_model(outputs=["y"], training=1, lower=0.25, upper=0.5, seed=9))
    assert _ops(lowered) == ["RandomUniformLike", "PRelu"]
    given_ = {a.name: helper.get_attribute_value(a) for a in lowered.graph.node[0].attribute}
    assert given_ == {"dtype": FLOAT, "low": 0.25, "high": 0.5, "seed": 9.0}


def test_unseeded_nodes_draw_each_for_itself() -> None:
    model = parsed(
        "net (float[4,6] x) => (float[4,6] y, float[4,6] z)"
        "{ y = ort_rrelu.RRelu <training = 1> (x) z = ort_rrelu.RRelu <training = 1> (x) }"
    )
    y, z = _run(model, -np.abs(_X))
    assert (y != z).any()


# bodies, functions, what a model has besides


def _model_with_bodies_and_functions() -> onnx.ModelProto:
    return parsed(
        f"""net (float[4,6] x, int64 step, bool c) => (float[4,6] y) <float[4,6] b> {{
            [call] a = own.Block <mode = 1> (x, step)
            [other] b = own.Outer (a)
            [choice] y = If (c) <then_branch = t () => (float[4,6] u) {{ [inner] u = {_TRAIN} (b, step) }},
                else_branch = e () => (float[4,6] v) {{
                    w = Cast <to = 11> (b)
                    [second] v2 = own.Block <mode = 0> (w, step)
                    v = Cast <to = 1> (v2) }}> }}""",
        functions="""
        <domain: "own", opset_import: ["": 18, "ort_rrelu": 1, "own": 1]> Block <mode> (x, step) => (y) {
            h = own.Twice (x)
            y = ort_rrelu.RRelu <training: int = @mode, lower = 0.1, upper = 0.5, seed = 5> (h, step) }
        <domain: "own", opset_import: ["": 18]> Twice (x) => (y) { y = Add (x, x) }
        <domain: "own", opset_import: ["": 18, "own": 1]> Outer (x) => (y) {
            n = Neg (x) s = Constant <value_int = 0> ()
            y = own.Block <mode = 0> (n, s) }""",
    )


@pytest.mark.parametrize("condition", [True, False])
def test_bodies_and_functions(condition: bool) -> None:
    model = _model_with_bodies_and_functions()
    inputs = (_X, np.array(_STEP), np.array(condition))
    lowered = ort_rrelu.graph.lower(model, exact=True)
    b = _reference(np.negative(_reference(_X * 2, training=True)) * 2)
    expected = _reference(b, training=True) if condition else _reference(b.astype(float) * 2).astype("f")
    assert_same_bits(run(_stock_session(lowered), *inputs)[0], expected)
    _run(model, *inputs)
    assert [function.name for function in lowered.functions] == ["Twice"]
    assert [value.name for value in lowered.graph.value_info] == ["b"]
    assert {"choice", "inner"} <= {node.name for node in all_nodes(lowered)}


def test_names_metadata_and_value_info_stay() -> None:
    model = parsed(
        f"""net (float[4,6] x, int64 step) => (float[4,6] y) <float[4,6] a, float[4,6] b> {{
            [first] a = {_EVAL} (x)
            [second] b = {_TRAIN} (a, step)
            [third] y = Mul(b, b) }}"""
    )
    model.producer_name, model.doc_string, model.graph.doc_string = "me", "a model", "a graph"
    model.metadata_props.add(key="a", value="b")
    for node in model.graph.node:
        node.metadata_props.add(key="of", value=node.name)
        node.doc_string = node.name
    for exact in (False, True):
        lowered = ort_rrelu.graph.lower(model, exact=exact)
        named = [node for node in lowered.graph.node if node.output[0] in {"a", "b", "y"}]
        assert [node.name for node in named] == ["first", "second", "third"]
        assert [node.doc_string for node in named] == ["first", "second", "third"]
        assert [[(p.key, p.value) for p in node.metadata_props] for node in named] == [
            [("of", name)] for name in ("first", "second", "third")
        ]
        assert lowered.metadata_props == model.metadata_props
        assert lowered.graph.value_info == model.graph.value_info
        assert (lowered.producer_name, lowered.doc_string) == ("me", "a model")
        assert lowered.graph.doc_string == "a graph"


@pytest.mark.parametrize("exact", [False, True])
def test_portable_model(exact: bool) -> None:
    model = rrelu_model(with_step=True, step_shape=[], shape=[4, 6], training=1, seed=_SEED)
    lowered = ort_rrelu.graph.lower(ort_rrelu.graph.portable(model), exact=exact)
    y, noise = run(_stock_session(lowered), _X, *[np.array(_STEP)] * exact)
    assert_same_bits(y, _X * noise)
    if exact:
        assert_same_bits(y, run(session(model), _X, np.array(_STEP))[0])


def test_spare_steps_of_a_portable_model_go() -> None:
    model = parsed(
        f"""net (float[4,6] x) => (float[4,6] y, int64 other) <int64 k = {{7}}, int64 other = {{8}}> {{
            s = Identity(k) a = {_EVAL} (x, other) b = {_EVAL} (a) y = {_TRAIN} (b, s) }}"""
    )
    embedded = ort_rrelu.graph.portable(model)
    assert [tensor.name for tensor in embedded.graph.initializer] == ["k", "other", "step"]
    for exact in (False, True):
        lowered = ort_rrelu.graph.lower(embedded, exact=exact)
        assert [tensor.name for tensor in lowered.graph.initializer] == ["k", "other"][not exact :]
        assert len(run(_stock_session(lowered), _X)) == 2


def test_new_names_hide_no_others() -> None:
    model = parsed(
        f"""net (float[4,6] x) => (float[4,6] y) {{
            y_0 = Neg(x) y_1_0 = Neg(y_0) y_2 = Abs(y_1_0)
            y, n = {_EVAL} (y_2) y_1 = Neg(n) }}"""
    )
    assert_same_bits(_run(model, _X)[0], np.abs(_X))


def test_reserve() -> None:
    text = (
        "net (float[4,6] x, int64 step) => (float[4,6] dx)"
        f"{{ y, , r = {_TRAIN} (x, step) dx = ort_rrelu.RReluGrad (x, r) }}"
    )
    inputs = _X, np.array(_STEP)
    assert_same_bits(_run(parsed(text), *inputs, exact=True)[0], run(session(parsed(text)), *inputs)[0])


def test_model_is_not_changed() -> None:
    for model in (_model_with_bodies_and_functions(), ort_rrelu.graph.portable(rrelu_model())):
        before = model.SerializeToString()
        ort_rrelu.graph.lower(model)
        assert model.SerializeToString() == before


@pytest.mark.parametrize(
    ("opset", "ir_version", "node", "expected"),
    [
        (6, 4, f"[a] y = {_EVAL} (x)", (7, 4)),
        (11, 6, f"[a] y = {_EVAL} (x)", (11, 6)),
        (11, 6, f"[a] y, n = {_EVAL} (x)", (13, 7)),
        (18, 10, f"[a] y = {_TRAIN} (x)", (18, 8)),
        (20, 10, f"[a] y = {_EVAL} (x)", (20, 9)),
        (21, 10, f"[a] y = {_EVAL} (x)", (21, 10)),
    ],
)
def test_opset_and_ir_version(opset: int, ir_version: int, node: str, expected: tuple[int, int]) -> None:
    noise = ", float[4,6] n" * ("n =" in node)
    text = f"net (float[4,6] x) => (float[4,6] y{noise}) {{ {node} }}"
    lowered = ort_rrelu.graph.lower(parsed(text, opset=opset, ir_version=ir_version))
    assert ({e.domain: e.version for e in lowered.opset_import}[""], lowered.ir_version) == expected


# refusals

_HEAD = "net (float[n] x, int64 step) => (float[n] y)"
_REFUSED: dict[str, tuple[str, bool, str]] = {
    "exact without a seed": (
        f"{_HEAD} {{ [a] y = ort_rrelu.RRelu <training = 1> (x, step) }}", True,
        'RRelu node "a": seed=-1: .* graph.seed',
    ),
    "exact without a step": (f"{_HEAD} {{ [a] y = {_TRAIN} (x) }}", True, 'RRelu node "a": it has no step'),
    "exact in a body": (
        f"net (float[n] x, bool c) => (float[n] y) {{ y = If (c) <"
        f"then_branch = t () => (float[n] u) {{ [a] u = {_TRAIN} (x) }},"
        f"else_branch = e () => (float[n] v) {{ v = Neg(x) }}> }}", True, 'RRelu node "a": it has no step',
    ),
    "misspelt": (f"{_HEAD} {{ y = ort_rrelu.RRelu <trainning = 1> (x) }}", False, "did you mean 'training'"),
    "bounds": (f"{_HEAD} {{ y = ort_rrelu.RRelu <lower = 2.0> (x) }}", False, "lower"),
    "integers": (
        "net (int32[n] x) => (int32[n] y) { [a] y = ort_rrelu.RRelu (x) }", False, '"x" is of type INT32',
    ),
    "reserve is an output": (
        f"net (float[n] x) => (float[n] y, uint8[m] r) {{ [a] y, , r = {_TRAIN} (x) }}", False, "reserve",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("text", "exact", "message"), _REFUSED.values(), ids=_REFUSED)
def test_refusals(text: str, exact: bool, message: str) -> None:
    model = parsed(text)
    before = model.SerializeToString()
    with pytest.raises(ValueError, match=message) as caught:
        ort_rrelu.graph.lower(model, exact=exact)
    assert isinstance(caught.value, ort_rrelu.Error)
    assert model.SerializeToString() == before


def test_function_of_another_opset() -> None:
    model = parsed(
        "net (float[n] x) => (float[n] y) { y = own.F (x) }",
        functions='<domain: "own", opset_import: ["": 17, "ort_rrelu": 1]> F (x) => (y) {'
        "[a] y = ort_rrelu.RRelu (x) }",
    )
    with pytest.raises(ort_rrelu.Error, match=r"functions \(F\), .* opset 18, its .*'F': 17"):
        ort_rrelu.graph.lower(model)


def test_exact_in_a_model_that_is_too_old() -> None:
    model = parsed(
        f"net (float[n] x, int64 s) => (float[n] y) {{ h = {_TRAIN} (x, s) y = own.F (h) }}",
        opset=17,
        functions='<domain: "own", opset_import: ["": 17]> F (x) => (y) { y = Relu(x) }',
    )
    ort_rrelu.graph.lower(model)
    with pytest.raises(ort_rrelu.Error, match="the model has opset 17, and 18 or newer is needed"):
        ort_rrelu.graph.lower(model, exact=True)


def test_exact_that_is_no_bool() -> None:
    with pytest.raises(TypeError, match="exact=1") as caught:
        ort_rrelu.graph.lower(rrelu_model(), exact=1)  # type: ignore[arg-type]
    assert isinstance(caught.value, ort_rrelu.Error)
