"""fuse(leaky=True): what tf2onnx writes for a leak with a constant slope becomes LeakyRelu of equal bits."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from onnx import helper

import ort_rrelu
from ort_rrelu.errors import InvalidTypeError
from ort_rrelu.graph import Finding
from tests.bits import assert_same_bits
from tests.commands.command_line import call, call_json
from tests.fuse.tf2onnx_forms import DTYPES, Form, forms
from tests.fusing import findings, fused, ops, parsed, runs_without_library, without_library
from tests.onnx_models import Array


def _numbers(dtype: Any) -> Array:
    """40 rows of 8: both zeros, the smallest, the largest, and others."""
    info = np.finfo(dtype)
    special = [0.0, -0.0, info.smallest_subnormal, info.tiny, info.max, 1, 1 / 3, 3.5 * info.tiny]
    x = np.random.default_rng(3).normal(size=(40, 8)).astype(dtype)
    x[:2] = np.array([special, [-value for value in special]], dtype)
    return x


def _alpha(model: onnx.ModelProto) -> float:
    (node,) = [node for node in model.graph.node if node.op_type == "LeakyRelu"]
    return float(helper.get_node_attr_value(node, "alpha"))


@given(form=forms())
@settings(max_examples=40)
def test_every_variant_becomes_a_leaky_relu_with_the_same_bits(form: Form) -> None:
    model = form.eval()
    before = model.SerializeToString()
    made, (said,) = fused(model, leaky=True)
    assert model.SerializeToString() == before
    if form.element == "double":
        assert (said.fused, made == model) == (False, True)
        assert "its x is of DOUBLE" in said.reason
        return
    assert said.fused, said
    assert f"slope {form.low:g}, now a LeakyRelu; infinities gave NaN" in said.reason
    transposed = model.graph.input[0].name == "c"
    assert ops(made) == ["LeakyRelu", "Transpose"] if transposed else ["LeakyRelu"]
    assert _alpha(made) == form.low
    assert not made.functions and made.opset_import == model.opset_import
    x = _numbers(DTYPES[form.element])
    x = np.ascontiguousarray(x.T) if transposed else x
    assert_same_bits(without_library(made, x)[0], without_library(model, x)[0])


@pytest.mark.parametrize("element", ["float", "float16"])
@pytest.mark.parametrize("slope", [0.2291666716337204, 0.01, 0.999, 1.0, 1e-6])
def test_slopes_that_are_rounded(element: str, slope: float) -> None:
    exact = float(DTYPES[element](slope))
    model = Form(element=element, low=exact).eval()
    made, _ = fused(model, leaky=True)
    assert _alpha(made) == exact
    x = _numbers(DTYPES[element])
    assert_same_bits(without_library(made, x)[0], without_library(model, x)[0])


def test_infinities_are_right_afterwards() -> None:
    model = Form().eval()
    x = np.array([[np.inf, -np.inf] * 4], np.float32)
    assert np.isnan(without_library(model, x)[0]).all()
    np.testing.assert_array_equal(without_library(fused(model, leaky=True)[0], x)[0], x)


@pytest.mark.parametrize("slope", [-0.25, 0.0, np.inf, np.nan])
def test_slope_with_which_leaky_relu_may_have_other_bits_stays(slope: float) -> None:
    model = Form(low=slope).eval()
    made, (said,) = fused(model, leaky=True)
    assert (said.fused, made == model) == (False, True)
    assert "its slope" in said.reason


def test_slope_of_more_digits_than_x_stays() -> None:
    model = parsed("net (float16[n] x) => (float16[n] y) <float slope = {0.3}, float z = {0}> {"
        "low = Cast <to = 10> (slope) zero = Cast <to = 10> (z) m = Less(x, zero) n = Not(m)"
        "neg = Cast <to = 10> (m) pos = Cast <to = 10> (n) a = Mul(x, pos) l = Mul(x, low) b = Mul(l, neg)"
        "y = Add(a, b) }}".replace("}}", "}"))  # fmt: skip
    made, (said,) = fused(model, leaky=True)
    assert (said.fused, made == model) == (False, True)
    assert "its slope, 0.3, is no number of FLOAT16" in said.reason


_MASKS = "n = Not(m) pos = Cast <to = 1> (m) neg = Cast <to = 1> (n)"
_END = "l = Mul(slope, x) b = Mul(l, neg)"
_LEFT = {
    "another threshold": (
        f"m = Less(one, x) {_MASKS} a = Mul(pos, x) {_END} y = Add(a, b)",
        "not a comparison with 0",
    ),
    "another value in one branch": (
        f"m = Less(zero, x) {_MASKS} a = Mul(pos, w) {_END} y = Add(a, b)",
        'it gives "w", or a constant times "x"',
    ),
    "a slope for each channel": (
        f"m = Less(zero, x) {_MASKS} a = Mul(pos, x) l = Mul(each, x) b = Mul(l, neg) y = Add(a, b)",
        None,
    ),
    "the slope where x is positive": (
        f"m = Less(x, zero) {_MASKS} a = Mul(pos, x) {_END} y = Add(a, b)",
        "gives positive elements the product",
    ),
    "one transposed, one not": (
        f"""m = Less(zero, q) {_MASKS} a = Mul(pos, q) k = Mul(slope, q) l = Transpose <perm = [1, 0]> (k)
            b = Mul(l, neg) y = Add(a, b)""",
        "LeakyRelu has one x in both places",
    ),
    "two orders": (
        f"""t = Transpose <perm = [0, 1]> (q) m = Less(zero, t) {_MASKS} a = Mul(pos, t) k = Mul(slope, q)
            l = Transpose <perm = [1, 0]> (k) b = Mul(l, neg) y = Add(a, b)""",
        "LeakyRelu has one x in both places",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", _LEFT)
def test_near_miss_stays_and_says_why(case: str) -> None:
    nodes, reason = _LEFT[case]
    numbers = (
        "float zero = {0}, float one = {1}, float slope = {0.25}, float[8] each = {1, 2, 3, 4, 5, 6, 7, 8}"
    )
    shape = "8, 8" if "q" in nodes else "n, 8"
    model = parsed(f"net (float[{shape}] x, float[{shape}] w) => (float[{shape}] y) <{numbers}> {{ "
        f"{'q = Neg(x)' if 'q' in nodes else ''} {nodes} }}")  # fmt: skip
    made, said = fused(model, leaky=True)
    assert made.SerializeToString() == model.SerializeToString()
    if reason is None:
        assert not said
    else:
        assert [(finding.node, finding.fused) for finding in said] == [("y", False)]
        assert reason in said[0].reason
    assert not findings(model)  # where nobody asked


def test_without_leaky_it_is_reported_and_stays() -> None:
    model = Form().eval()
    made, (said,) = fused(model)
    assert made == model
    assert said == Finding(
        "y",
        False,
        "Add of products with masks with the constant slope 0.125; infinities give NaN: leaky=True makes it "
        "a LeakyRelu",
    )


def test_without_report_it_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("DEBUG", "ort_rrelu.graph.fuse"):
        ort_rrelu.graph.fuse(Form().eval(), leaky=True)
        ort_rrelu.graph.fuse(Form().eval())
    assert [(r.levelname, r.getMessage().split(":")[0]) for r in caplog.records] == [
        ("INFO", "y is LeakyRelu now"),
        ("DEBUG", "y stays"),
    ]


def _net(*, train: bool) -> onnx.ModelProto:
    """Two convolutions as tf2onnx writes them: each output goes to TensorFlow's order, and back again."""
    slope = "u{i} = RandomUniformLike <low = 0.1, high = 0.3> (x{i}) l{i} = Mul(u{i}, x{i})"
    if not train:
        slope = "k{i} = Mul(slope, c{i}) l{i} = Transpose <perm = [0, 2, 3, 1]> (k{i})"
    layer = f"""[back{{i}}] h{{i}} = Transpose <perm = [0, 3, 1, 2]> ({{x}}) c{{i}} = Conv(h{{i}}, w)
        [there{{i}}] x{{i}} = Transpose <perm = [0, 2, 3, 1]> (c{{i}}) {slope}
        m{{i}} = GreaterOrEqual(x{{i}}, zero) n{{i}} = Not(m{{i}}) pos{{i}} = Cast <to = 1> (m{{i}})
        neg{{i}} = Cast <to = 1> (n{{i}}) a{{i}} = Mul(pos{{i}}, x{{i}}) b{{i}} = Mul(l{{i}}, neg{{i}})
        [leak{{i}}] {{y}} = Add(a{{i}}, b{{i}})"""
    model = onnx.parser.parse_model(
        """<ir_version: 8, opset_import: ["": 18]> net (float[n, 8, 8, 2] x) => (float[n, 8, 8, 2] y)
        <float zero = {0}, float slope = {0.25}> { """
        + layer.format(i=0, x="x", y="z")
        + layer.format(i=1, x="z", y="y")
        + " }"
    )
    weights = np.random.default_rng(0).normal(size=(2, 2, 1, 1)).astype(np.float32)
    model.graph.initializer.append(onnx.numpy_helper.from_array(weights, "w"))
    onnx.checker.check_model(model, full_check=True)
    return onnx.shape_inference.infer_shapes(model)


def _optimized_ops(model: onnx.ModelProto, folder: Path) -> list[str]:
    """What ONNX Runtime makes of a model, without fusions for one processor."""
    options = onnxruntime.SessionOptions()
    options.register_custom_ops_library(ort_rrelu.get_library_path())
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(folder / "optimized.onnx")
    onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return ops(onnx.load(folder / "optimized.onnx"))


@pytest.mark.parametrize("train", [False, True])
def test_transposes_cancel(train: bool, tmp_path: Path) -> None:
    model = _net(train=train)
    made, said = fused(model, leaky=True)
    node = "RRelu" if train else "LeakyRelu"
    layer = ["Transpose", "Conv", node, "Transpose"]
    assert ops(made) == layer * 2
    assert [finding.node for finding in said] == ["leak0", "leak1"]
    assert [n.name for n in made.graph.node if n.name] == [
        "back0",
        "leak0",
        "there0",
        "back1",
        "leak1",
        "there1",
    ]
    assert not {value.name for value in made.graph.value_info} & {"x0", "x1"}  # of another shape now
    assert _optimized_ops(made, tmp_path).count("Transpose") == 2
    x = np.random.default_rng(1).normal(size=(3, 8, 8, 2)).astype(np.float32)
    if not train:
        assert_same_bits(without_library(made, x)[0], without_library(model, x)[0])
    else:
        means = [
            np.mean([y for (y,) in runs_without_library(each, 200, x)], axis=0) for each in (model, made)
        ]
        np.testing.assert_allclose(means[1], means[0], atol=0.05)


def test_transpose_that_something_else_reads_stays_before() -> None:
    model = parsed("""net (float[8, n] c) => (float[n, 8] y) <float zero = {0}, float slope = {0.25}> {
        x = Transpose <perm = [1, 0]> (c) m = GreaterOrEqual(x, zero) n = Not(m) pos = Cast <to = 1> (m)
        neg = Cast <to = 1> (n) a = Mul(pos, x) l = Mul(slope, x) b = Mul(l, neg) k = Add(a, b)
        y = Sub(k, x) }""")
    made, _ = fused(model, leaky=True)
    assert ops(made) == ["Transpose", "LeakyRelu", "Sub"]


def test_leak_behind_a_leak_goes_before_the_transpose_too() -> None:
    layer = """m{i} = GreaterOrEqual({x}, zero) n{i} = Not(m{i}) pos{i} = Cast <to = 1> (m{i})
        neg{i} = Cast <to = 1> (n{i}) a{i} = Mul(pos{i}, {x}) l{i} = Mul(slope, {x}) b{i} = Mul(l{i}, neg{i})
        {y} = Add(a{i}, b{i})"""
    model = parsed(f"""net (float[8, n] c) => (float[n, 8] y) <float zero = {{0}}, float slope = {{0.25}}> {{
        x = Transpose <perm = [1, 0]> (c) {layer.format(i=0, x="x", y="z")}
        {layer.format(i=1, x="z", y="y")} }}""")
    made, _ = fused(model, leaky=True)
    assert ops(made) == ["LeakyRelu", "LeakyRelu", "Transpose"]
    x = np.random.default_rng(1).normal(size=(8, 3)).astype(np.float32)
    assert_same_bits(without_library(made, x)[0], without_library(model, x)[0])


def test_train_and_eval_in_one_model() -> None:
    both = onnx.compose.merge_models(
        onnx.compose.add_prefix(Form().train(), "a/"),
        onnx.compose.add_prefix(Form().eval(), "b/"),
        io_map=[("a/y", "b/x")],
    )
    made, said = fused(both, leaky=True)
    assert ops(made) == ["RRelu", "LeakyRelu"]
    assert [finding.fused for finding in said] == [True, True]


def test_leaky_of_another_type() -> None:
    with pytest.raises(InvalidTypeError, match="leaky=1: it must be True or False"):
        ort_rrelu.graph.fuse(onnx.ModelProto(), leaky=1)  # type: ignore[arg-type]


def test_on_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    onnx.save(dataclasses.replace(Form(), transposed=True).eval(), "net.onnx")
    (left,) = call_json("fuse net.onnx -o same.onnx")["findings"]
    assert not left["fused"] and "leaky=True" in left["reason"]
    (finding,) = call_json("fuse net.onnx --leaky -o leaky.onnx")["findings"]
    assert finding["fused"]
    assert ops(onnx.load("leaky.onnx")) == ["LeakyRelu", "Transpose"]
    assert "now a LeakyRelu" in " ".join(call("fuse net.onnx --leaky -o leaky.onnx --force").split())
