"""fuse on RReLU in train mode as tf2onnx writes it: what becomes RRelu, what stays, what its seeds mean."""

from __future__ import annotations

import dataclasses
import re

import numpy as np
import onnx
import pytest
from hypothesis import given, settings

import ort_rrelu
from ort_rrelu.graph import Finding
from ort_rrelu.reference import derive_seed
from tests.fuse.tf2onnx_forms import DTYPES, FLIPPED, SHAPES, Form, forms
from tests.fusing import findings, fused, ops, parsed, runs_without_library, values_of, without_library
from tests.onnx_models import Array


def _fed(model: onnx.ModelProto, element: str) -> Array:
    """40 rows of 8, or the other way round, of -3 to 3 without 0."""
    x = np.random.default_rng(1).uniform(0.5, 3, (40, 8)) * np.random.default_rng(2).choice([-1, 1], (40, 8))
    return np.asarray(x.T if model.graph.input[0].name == "c" else x, DTYPES[element])


def _slopes(model: onnx.ModelProto, x: Array) -> tuple[Array, Array]:
    """Where elements leak, and their slopes, of ten runs."""
    inputs = x.T if model.graph.input[0].name == "c" else x
    ratios = np.stack([y / inputs for (y,) in runs_without_library(model, 10, x)]).astype(float)
    return inputs < 0, ratios


@given(form=forms())
@settings(max_examples=40)
def test_every_variant_becomes_one_node_with_such_slopes(form: Form) -> None:
    model = dataclasses.replace(form, moved_product=False).train()
    model.producer_name = "tf2onnx"
    made, (said,) = fused(model)
    assert said.fused, said
    assert [op for op in ops(made) if op != "Transpose"] == ["RRelu"]
    (values,) = values_of(made)
    assert (values["lower"], values["upper"], values["seed"]) == (form.low, form.low + form.width, 7)
    assert "infinities gave NaN" in said.reason
    x = _fed(model, form.element)
    negative, before = _slopes(model, x)
    _, after = _slopes(made, x)
    tolerance = 2e-3 if form.element == "float16" else 1e-6
    for ratios in (before, after):
        np.testing.assert_array_equal(ratios[:, ~negative], 1)
        leaks = ratios[:, negative]
        assert form.low - tolerance <= leaks.min() and leaks.max() <= form.low + form.width + tolerance
    # Of the 160 slopes of one run at least: uniform ones have a mean that is 6 deviations within this.
    for of_one_run in (before[0][negative], after[0][negative]):
        deviation = form.width / np.sqrt(12)
        assert abs(of_one_run.mean() - form.low - form.width / 2) < 6 * deviation / np.sqrt(of_one_run.size)
        assert of_one_run.std() == pytest.approx(deviation, rel=0.35)


def test_infinities_are_right_afterwards() -> None:
    model = Form().train()
    x = np.full((1, 8), np.inf, np.float32)
    assert np.isnan(without_library(model, x)[0]).all()
    np.testing.assert_array_equal(without_library(fused(model)[0], x)[0], x)
    np.testing.assert_array_equal(without_library(fused(model)[0], -x)[0], -x)


@pytest.mark.parametrize("shape", ["Shape of x", "Gather"])
def test_unknown_rank(shape: str) -> None:
    model = Form(shape=shape).train()
    _forget_rank(model)
    said: list[Finding] = []
    made = ort_rrelu.graph.fuse(model, report=said.append)
    assert [finding.fused for finding in said] == [True], said
    x = _fed(model, "float")
    assert without_library(made, x)[0].shape == without_library(model, x)[0].shape


def _forget_rank(model: onnx.ModelProto) -> None:
    """As tf2onnx writes it, though onnx's checker wants a shape."""
    for value in (model.graph.input[0], model.graph.output[0]):
        value.type.tensor_type.ClearField("shape")


def test_lengths_that_are_not_known_to_be_those_of_x() -> None:
    for sizes in ("n, m", "n, 7"):
        (said,) = findings(Form(shape="Slice and Concat", sizes=sizes).train())
        assert said.reason == 'its shape is that of "like", not known to be that of "x"'


def test_lengths_of_an_unknown_rank() -> None:
    model = Form(shape="Slice and Concat").train()
    _forget_rank(model)
    said: list[Finding] = []
    ort_rrelu.graph.fuse(model, report=said.append)
    assert [finding.fused for finding in said] == [False]


@pytest.mark.parametrize(
    ("numbers", "fuses"),
    [
        ({"perm": [1, 0]}, True),
        ({"perm": [-1, -2]}, True),
        ({"perm": [0, 1]}, False),
        ({"perm": [1, 1]}, False),
        ({"perm": [1]}, False),
    ],
)
def test_lengths_in_another_order(numbers: dict[str, list[int]], fuses: bool) -> None:
    """A draw of another shape would be broadcast where a length is 1, or fail: neither is RReLU."""
    model = Form(shape="Gather", sizes="n, m").train()
    for tensor in model.graph.initializer:
        if tensor.name in numbers:
            array = np.array(numbers[tensor.name], np.int64)
            tensor.CopyFrom(onnx.numpy_helper.from_array(array, tensor.name))
    assert findings(model)[0].fused is fuses


@pytest.mark.parametrize("opset", [9, 13])
@pytest.mark.parametrize(
    ("computed", "fuses"),
    [
        ("f = Slice <starts = [0], ends = [1]> (s) t = Concat <axis = 0> (f, w8)", True),
        ("f = Slice <starts = [0], ends = [2]> (s) t = Identity(f)", True),
        ("f = Slice <starts = [0], ends = [9], axes = [0]> (s) t = Identity(f)", True),
        ("f = Slice <starts = [-2], ends = [2]> (s) t = Identity(f)", True),
        ("f = Slice <starts = [1], ends = [2]> (s) t = Concat <axis = 0> (f, w8)", False),
        ("f = Slice <starts = [0], ends = [1]> (s) t = Concat <axis = 0> (w8, f)", False),
        ("f = Slice <starts = [0], ends = [1]> (s) t = Concat <axis = 0> (f, f)", False),
        (
            "f = Gather(s, i0) e = Squeeze(f) z = Unsqueeze <axes = [0]> (e) t = Concat <axis = 0> (z, w8)",
            True,
        ),
        ("f = Gather(s, last) t = Concat <axis = 0> (f, w8)", False),
        ("f = Cast <to = 1> (s) t = Cast <to = 7> (f)", True),
    ],
)
def test_lengths_that_were_computed(opset: int, computed: str, fuses: bool) -> None:
    """Slice has attributes up to opset 9, and inputs later; Unsqueeze changes with opset 13."""
    if opset == 13:
        computed = re.sub(
            r"Slice <starts = (\[.*?\]), ends = (\[.*?\]).*?> \(s\)",
            lambda m: f"Slice(s, start{m[1][1:-1].replace('-', '_')}, end{m[2][1:-1]})",
            computed,
        ).replace("Unsqueeze <axes = [0]> (e)", "Unsqueeze(e, i0)")
    numbers = ", ".join(
        f"int64[1] {name} = {{{value}}}"
        for name, value in {
            "start0": 0, "start1": 1, "start_2": -2, "end1": 1, "end2": 2, "end9": 9, "w8": 8, "i0": 0,
            "last": -1,
        }.items()
    )  # fmt: skip
    model = onnx.parser.parse_model(
        f"""<ir_version: 8, opset_import: ["": {opset}]> net (float[n, m] w) => (float[n, 8] y)
        <{numbers}, float zero = {{0}}, int64[2] shape = {{0, 8}}> {{
        x = Reshape(w, shape) s = Shape(x) {computed} c = ConstantOfShape(t)
        u = RandomUniformLike <low = 0.25, high = 0.5, dtype = 1> (c) k = Greater(x, zero) n = Not(k)
        pos = Cast <to = 1> (k) neg = Cast <to = 1> (n) a = Mul(x, pos) p = Mul(u, x) b = Mul(p, neg)
        y = Add(a, b) }}"""
    )
    onnx.checker.check_model(model)
    assert [f.fused for f in fused(model, portable=False)[1]] == [fuses]


# near misses


_MASKS = "n = Not(m) pos = Cast <to = 1> (m) neg = Cast <to = 1> (n)"
_DRAWN = "u = RandomUniformLike <low = 0.125, high = 0.5> (x)"
_LEFT = {
    "another threshold": (
        f"{_DRAWN} m = Less(one, x) {_MASKS} a = Mul(pos, x) rx = Mul(u, x) b = Mul(rx, neg) y = Add(a, b)",
        "not a comparison with 0",
    ),
    "another value in one branch": (
        f"{_DRAWN} m = Less(zero, x) {_MASKS} a = Mul(pos, w) rx = Mul(u, x) b = Mul(rx, neg) y = Add(a, b)",
        "one x in both places",
    ),
    "the sign of another value": (
        f"{_DRAWN} m = Less(zero, w) {_MASKS} a = Mul(pos, x) rx = Mul(u, x) b = Mul(rx, neg) y = Add(a, b)",
        'asks for the sign of "w", not of "x"',
    ),
    "a slope for each channel": (
        f"""u = RandomUniform <shape = [8]> () m = Less(zero, x) {_MASKS} a = Mul(pos, x) rx = Mul(u, x)
            b = Mul(rx, neg) y = Add(a, b)""",
        "its shape is not known to be that of",
    ),
    "a product with the slope that is read elsewhere": (
        f"""{_DRAWN} m = Less(zero, x) {_MASKS} a = Mul(pos, x) rx = Mul(u, x) b = Mul(rx, neg) k = Add(a, b)
            y = Mul(rx, k)""",
        '"rx" is used elsewhere',
    ),
    "a term with the slope that is read elsewhere": (
        f"""{_DRAWN} m = Less(zero, x) {_MASKS} a = Mul(pos, x) rx = Mul(u, x) b = Mul(rx, neg) k = Add(a, b)
            y = Mul(b, k)""",
        '"b" is used elsewhere',
    ),
    "one mask for both": (
        f"""{_DRAWN} m = Less(zero, x) pos = Cast <to = 1> (m) a = Mul(pos, x) rx = Mul(u, x)
            b = Mul(rx, pos) y = Add(a, b)""",
        "gives positive elements what is drawn",
    ),
    "the slope where x is positive": (
        f"{_DRAWN} m = Less(x, zero) {_MASKS} a = Mul(pos, x) rx = Mul(u, x) b = Mul(rx, neg) y = Add(a, b)",
        "gives positive elements what is drawn",
    ),
    "the opposite of neither": (
        f"""{_DRAWN} m = Less(zero, x) {_MASKS} l = Less(w, zero) k = Cast <to = 1> (l) a = Mul(pos, x)
            rx = Mul(u, x) b = Mul(rx, k) y = Add(a, b)""",
        'asks for the sign of "w", not of "x"',
    ),
    "a difference": (
        f"{_DRAWN} m = Less(zero, x) {_MASKS} a = Mul(pos, x) rx = Mul(u, x) b = Mul(rx, neg) y = Sub(a, b)",
        "no form of RReLU",
    ),
    "a number in place of a mask": (
        f"{_DRAWN} m = Less(zero, x) {_MASKS} a = Mul(one, x) rx = Mul(u, x) b = Mul(rx, neg) y = Add(a, b)",
        "no form of RReLU",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", _LEFT)
def test_near_miss_stays_and_says_why(case: str) -> None:
    nodes, reason = _LEFT[case]
    model = parsed(
        f"net (float[n, 8] x, float[n, 8] w) => (float[n, 8] y) <float zero = {{0}}, float one = {{1}}> "
        f"{{ {nodes} }}"
    )
    made, (said,) = fused(model)
    assert not said.fused
    assert reason in said.reason
    assert made.SerializeToString() == model.SerializeToString()


# seeds


def test_seed_of_zero_means_none_in_models_of_tf2onnx_alone() -> None:
    model = Form(seed=0.0).train()
    made, (said,) = fused(model)
    assert values_of(made)[0]["seed"] == 0
    assert "would mean none if the model named tf2onnx as its producer" in said.reason
    model.producer_name = "tf2onnx"
    made, (said,) = fused(model)
    assert values_of(made)[0]["seed"] == -1
    assert "fresh entropy in each session: tf2onnx writes seed=0.0 for none" in said.reason


_LAYER = """m{i} = Less(x{i}, zero) n{i} = Not(m{i})
    neg{i} = Cast <to = 1> (m{i}) pos{i} = Cast <to = 1> (n{i})
    a{i} = Mul(pos{i}, x{i}) rx{i} = Mul(u, x{i}) b{i} = Mul(neg{i}, rx{i}) {y} = Add(a{i}, b{i})"""


def _merged(seed: float, *, more: str = "y = Identity(x2)") -> onnx.ModelProto:
    """Two layers in a row, after tf2onnx made one node of their draws."""
    layers = [_LAYER.format(i=0, y="x1"), _LAYER.format(i=1, y="x2")]
    model = parsed(f"""net (float[40, 8] x0) => (float[40, 8] y) <float zero = {{0}}> {{
        u = RandomUniform <dtype = 1, low = 0.25, high = 0.5, seed = {seed}, shape = [40, 8]> ()
        {" ".join(layers)} {more} }}""")
    model.producer_name = "tf2onnx"
    return model


@pytest.mark.parametrize(
    ("seed", "seeds"), [(0.0, [-1, -2]), (9.0, [9, derive_seed(9, 0)])], ids=["none", "fixed"]
)
def test_layers_whose_draws_were_merged_get_their_own(seed: float, seeds: list[int]) -> None:
    made, said = fused(_merged(seed))
    assert ops(made) == ["RRelu", "RRelu", "Identity"]
    assert [values["seed"] for values in values_of(made)] == seeds
    assert all("its draw served 2 layers" in finding.reason for finding in said)
    x = np.full((40, 8), -1, np.float32)
    before, after = (without_library(model, x)[0] for model in (_merged(seed), made))
    drawn = np.random.default_rng(0).uniform(0.25, 0.5, (2, 100_000))
    assert (-before).std() == pytest.approx((drawn[0] ** 2).std(), rel=0.12)
    assert (-after).std() == pytest.approx((drawn[0] * drawn[1]).std(), rel=0.12)


def test_merged_draw_that_something_else_reads_stays() -> None:
    made, (said,) = fused(_merged(0.0, more="y = Add(x2, u)"))
    assert (said.node, said.fused, said.reason) == ("u", False, '"u" is used elsewhere, or is an output')
    assert ops(made) == ops(_merged(0.0, more="y = Add(x2, u)"))


def test_shared_draw_of_another_exporter_stays() -> None:
    model = _merged(9.0)
    model.producer_name = "me"
    assert [finding.fused for finding in findings(model)] == [False]


def test_draw_that_leaks_by_itself_stays() -> None:
    model = parsed("""net (float[40, 8] x) => (float[40, 8] y) {
        r = RandomUniform <low = -1.0, high = 1.0, shape = [40, 8]> () y = PRelu(r, r) }""")
    model.producer_name = "tf2onnx"
    assert not findings(model)[0].fused


def test_forms_are_all_there() -> None:
    """What the property draws from covers each shape, with each node the other way round."""
    for shape in SHAPES:
        sizes = "40, 8" if shape == "static" else "n, 8"
        for flip in FLIPPED:
            assert findings(Form(shape=shape, sizes=sizes, flips=frozenset({flip})).train())[0].fused
