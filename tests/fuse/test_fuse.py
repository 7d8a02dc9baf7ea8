"""fuse: the forms that become RRelu. What stays: test_left.py; torch's own: test_torchscript.py."""

from __future__ import annotations

import math

import numpy as np
import onnx
import pytest

import ort_rrelu
from ort_rrelu.graph import Finding
from tests.fusing import DRAW, findings, fused, nodes_of, ops, parsed, values_of, without_library
from tests.onnx_models import Array, session

_ZERO_AND_ONE = "<float zero = {0}, float one = {1}>"


def _form(nodes: str, *, opset: int = 18) -> onnx.ModelProto:
    return parsed(f"net (float[n, 40] x) => (float[n, 40] y) {_ZERO_AND_ONE} {{ {nodes} }}", opset=opset)


def _comparisons() -> dict[str, tuple[str, bool]]:
    """Condition -> is it true for negative elements?"""
    plain = {
        "Less(x, zero)": True,
        "LessOrEqual(x, zero)": True,
        "Greater(x, zero)": False,
        "GreaterOrEqual(x, zero)": False,
        "Less(zero, x)": False,
        "LessOrEqual(zero, x)": False,
        "Greater(zero, x)": True,
        "GreaterOrEqual(zero, x)": True,
    }
    written = {text: (f"c = {text}", negative) for text, negative in plain.items()}
    negated = {f"Not({text})": (f"k = {text} c = Not(k)", not negative) for text, negative in plain.items()}
    xored = {
        "Not(Not(..))": ("k = Less(x, zero) l = Not(k) c = Not(l)", True),
        "Xor(.., true)": ("k = Less(x, zero) t = Constant <value = bool {1}> () c = Xor(k, t)", False),
        "Xor(false, ..)": ("k = Less(x, zero) t = Constant <value = bool {0}> () c = Xor(t, k)", True),
    }
    return written | negated | xored


_FORMS = {
    "PRelu": f"r = {DRAW} (x) y = PRelu(x, r)",
    "PRelu, Identity": f"a = Identity(x) r = {DRAW} (a) b = Identity(r) d = Identity(b) y = PRelu(x, d)",
    "PRelu, draw of doubles": f"r = {DRAW[:-1]}, dtype = 11> (x) s = Cast <to = 1> (r) y = PRelu(x, s)",
    "PRelu, draw from 0 to 1": """u = RandomUniformLike(x) w = Constant <value_float = 0.375> ()
        l = Constant <value = float[1] {0.125}> () s = Mul(w, u) r = Add(s, l) y = PRelu(x, r)""",
    "PRelu, draw from 1 to 0": """u = RandomUniformLike(x) w = Constant <value_float = 0.75> ()
        h = Constant <value_float = 1.0> () t = Constant <value_float = 2.0> ()
        s = Mul(w, u) v = Sub(h, s) p = Div(v, t)
        r = Add(p, zero) y = PRelu(x, r)""",
    "PRelu, draw in the shape of a shape": f"""s = Shape(x) c = ConstantOfShape(s) r = {DRAW} (c)
        y = PRelu(x, r)""",
    "PRelu, draw in the shape of what x comes from": f"""a = Relu(x) n = Neg(x) r = {DRAW} (a)
        z = PRelu(n, r) y = Neg(z)""",
    "x from casts": f"""h = Cast <to = 10> (x) d = Cast <to = 1> (h) r = {DRAW} (d)
        y = PRelu(d, r)""",
} | {
    f"{form}, {name}": f"{condition} r = {DRAW} (x) {nodes[negative]}"
    for name, (condition, negative) in _comparisons().items()
    for form, nodes in {
        "Where": {True: "p = Mul(x, r) y = Where(c, p, x)", False: "p = Mul(r, x) y = Where(c, x, p)"},
        "Mul": {True: "f = Where(c, r, one) y = Mul(x, f)", False: "f = Where(c, one, r) y = Mul(f, x)"},
    }.items()
}  # fmt: skip


@pytest.mark.parametrize("form", _FORMS)
def test_form_becomes_one_node(form: str) -> None:
    model = _form(_FORMS[form])
    made, said = fused(model)
    assert [finding.fused for finding in said] == [True], said
    assert values_of(made) == [{"lower": 0.125, "upper": 0.5, "training": 1, "seed": -1}]
    left_over = {
        "RandomUniformLike",
        "Where",
        "PRelu",
        "Mul",
        "Less",
        "Xor",
        "Constant",
        "ConstantOfShape",
        "Identity",
    }
    assert not left_over.intersection(ops(made))
    x = np.random.default_rng(1).normal(size=(500, 40)).astype(np.float32)
    (before,), (after,) = (without_library(each, x) for each in (model, made))
    (with_library,) = session(made).run(None, {"x": x})
    for y in (after, with_library):
        _assert_alike(x, before, y)


def _assert_alike(x: Array, one: Array, other: Array) -> None:
    """Both are x with slopes that are, as far as 10,000 of them tell, uniform in the same bounds."""
    ratios = [(y / x) for y in (one, other)]
    leaking = [np.abs(ratio) < 0.9 for ratio in ratios]
    np.testing.assert_array_equal(leaking[0], leaking[1])
    slopes = [np.sort(ratio[where]) for ratio, where in zip(ratios, leaking, strict=True)]
    # Kolmogorov and Smirnov's distance; 1e-9 of equal samples are farther apart.
    places = np.searchsorted(slopes[0], slopes[1]) / len(slopes[0])
    distance = np.abs(places - np.arange(len(places)) / len(places)).max()
    assert distance < math.sqrt(math.log(2e9) / len(places))
    assert 0.124 < slopes[1][0] < 0.126 and 0.499 < slopes[1][-1] < 0.501


def test_zero_and_what_is_not_a_number() -> None:
    x = np.array([[0.0, -0.0, np.nan, np.inf] * 10], np.float32)
    for name in (
        "PRelu",
        "Where, Less(x, zero)",
        "Where, LessOrEqual(x, zero)",
        "Mul, Not(Greater(x, zero))",
    ):
        model = _form(_FORMS[name])
        for each in (model, fused(model)[0]):
            np.testing.assert_array_equal(without_library(each, x)[0], x)


@pytest.mark.parametrize("element", ["float16", "bfloat16", "float", "double"])
def test_cast_to_a_wider_type_and_back(element: str) -> None:
    wide = {"float16": 1, "bfloat16": 1, "float": 11, "double": 11}[element]
    narrow = {"float16": 10, "bfloat16": 16, "float": 1, "double": 11}[element]
    made, _ = fused(parsed(f"""net ({element}[n] x) => ({element}[n] y) {{
        z = Constant <value = {"float" if wide == 1 else "double"} {{0}}> ()
        w = Cast <to = {wide}> (x) c = LessOrEqual(w, z) r = {DRAW} (w) p = Mul(w, r)
        v = Where(c, p, w) y = Cast <to = {narrow}> (v) }}"""))  # fmt: skip
    assert ops(made) == ["RRelu"]


def test_cast_to_another_type_stays() -> None:
    made, _ = fused(
        parsed(f"""net (float[n] x) => (float16[n] y) {{
        w = Cast <to = 11> (x) r = {DRAW} (w) v = PRelu(w, r) y = Cast <to = 10> (v) }}""")
    )
    assert ops(made) == ["Cast", "RRelu", "Cast"]


def test_cast_stays_where_what_it_casts_is_read_elsewhere() -> None:
    made, _ = fused(
        parsed(f"""net (float16[n] x) => (float16[n] y, float[n] z) {{
        w = Cast <to = 1> (x) r = {DRAW} (w) v = PRelu(w, r) y = Cast <to = 10> (v) z = Neg(v) }}""")
    )
    assert ops(made) == ["Cast", "RRelu", "Cast", "Neg"]


@pytest.mark.parametrize(("x", "drawn"), [("float[2,3]", "2, 3"), ("float[3]", "3")])
def test_draw_in_a_known_shape(x: str, drawn: str) -> None:
    made, _ = fused(
        parsed(f"""net ({x} x) => ({x} y) {{
        r = RandomUniform <low = -1.0, high = 2.0, shape = [{drawn}]> () y = PRelu(x, r) }}""")
    )
    assert ops(made) == ["RRelu"]
    assert values_of(made) == [{"lower": -1.0, "upper": 2.0, "training": 1, "seed": -1}]


def test_draw_in_a_shape_of_the_same_names() -> None:
    made, _ = fused(
        parsed(f"""net (float[n, 3] x, float[n, 3] other) => (float[n, 3] y) {{
        r = {DRAW} (other) y = PRelu(x, r) }}""")
    )
    assert ops(made) == ["RRelu"]


@pytest.mark.parametrize(
    ("nodes", "bounds"),
    [
        ("r = Mul(u, k)", (0.0, 4.0)),
        ("r = Mul(k, u)", (0.0, 4.0)),
        ("r = Add(u, k)", (4.0, 5.0)),
        ("r = Sub(u, k)", (-4.0, -3.0)),
        ("r = Sub(k, u)", (3.0, 4.0)),
        ("r = Div(u, k)", (0.0, 0.25)),
        ("i = Identity(m) r = Mul(u, i)", (-8.0, 0.0)),
        ("s = Sub(m, u) t = Div(s, k) r = Sub(k, t)", (6.0, 6.25)),
        ("s = Mul(u, m) t = Add(k, s) v = Mul(t, k) r = Sub(v, m)", (-8.0, 24.0)),
        ("s = Mul(u, zero) r = Add(s, k)", (4.0, 4.0)),
    ],
)
def test_bounds_of_sums_and_products(nodes: str, bounds: tuple[float, float]) -> None:
    numbers = "<float k = {4}, float m = {-8}, float zero = {0}>"
    model = (
        f"net (float[n] x) => (float[n] y) {numbers} {{ u = RandomUniformLike(x) {nodes} y = PRelu(x, r) }}"
    )
    made, _ = fused(parsed(model))
    assert [(values["lower"], values["upper"]) for values in values_of(made)] == [bounds]
    x = np.full(2000, -1, np.float32)
    slopes = -without_library(made, x)[0]
    before = -without_library(parsed(model), x)[0]
    for drawn in (slopes, before):
        assert bounds[0] <= drawn.min() and drawn.max() <= bounds[1]
        np.testing.assert_allclose([drawn.min(), drawn.max()], bounds, atol=0.02 * (bounds[1] - bounds[0]))


# bodies and functions

_LEAK = f"r = {DRAW} (x) z = PRelu(x, r)"


def test_bodies() -> None:
    made, said = fused(
        parsed(f"""net (float[4] x, bool b, int64 k) => (float[4] y, float[4] v) {{
        y = If (b) <then_branch = t () => (float[4] z) {{ {_LEAK} }},
                    else_branch = e () => (float[4] w) {{ q = {DRAW} (x) w = PRelu(x, q) }}>
        v = Loop (k, b, x) <body = l (int64 i, bool g, float[4] a) => (bool h, float[4] m)
                    {{ h = Identity(g) p = {DRAW} (a) m = PRelu(a, p) }}> }}""")
    )
    assert [finding.fused for finding in said] == [True] * 3
    assert ops(made) == ["If", "RRelu", "RRelu", "Loop", "Identity", "RRelu"]
    assert sorted(values["seed"] for values in values_of(made)) == [-3, -2, -1]
    x = np.array([-1, -2, -3, 4], np.float32)
    y, v = without_library(made, x, np.array(True), np.array(2, np.int64))
    assert (y[:3] > 0.51 * x[:3]).all() and (v[:3] > 0.26 * x[:3]).all() and y[3] == v[3] == 4


@pytest.mark.parametrize("opset", [13, 18])
def test_scan_body_and_outer_x(opset: int) -> None:
    made, _ = fused(parsed(f"""net (float[4] x, float[5, 4] s) => (float[5, 4] y) {{
        y = Scan (s) <num_scan_inputs = 1, body = b (float[4] a) => (float[4] m)
            {{ p = {DRAW} (x) q = PRelu(x, p) m = Add(q, a) }}> }}""", opset=opset))  # fmt: skip
    assert ops(made) == ["Scan", "RRelu", "Add"]


def test_functions() -> None:
    made, said = fused(parsed(
        "net (float[40, 50] x) => (float[40, 50] y) { a = own.Leak(x) y = own.Leak(a) }",
        functions=f'<domain: "own", opset_import: ["": 18]> Leak (x) => (z) {{ {_LEAK} }}',
    ))  # fmt: skip
    assert [(finding.node, finding.fused) for finding in said] == [("z", True)]
    function = next(f for f in made.functions if f.name == "Leak")
    assert [node.op_type for node in function.node] == ["RRelu"]
    assert {entry.domain for entry in function.opset_import} == {"", "ort_rrelu"}
    x = np.full((40, 50), -1, np.float32)
    y = without_library(made, x)[0]
    assert -0.25 < y.min() < -0.2 and -0.03 < y.max() < -0.015
    assert np.asarray(session(made).run(None, {"x": x})[0]).std() == pytest.approx(y.std(), rel=0.2)


# seeds


@pytest.mark.parametrize(
    ("written", "seed"),
    [("7.0", 7), ("0.0", 0), ("2.75", 2), ("16777216.0", 2**24), ("1e18", 999999984306749440)],
)
def test_seed_is_carried_over(written: str, seed: int) -> None:
    model = _form(f"r = {DRAW[:-1]}, seed = {written}> (x) y = PRelu(x, r)")
    assert values_of(fused(model)[0])[0]["seed"] == seed


@pytest.mark.parametrize("written", [-1.0, -0.5, 1e19, math.nan, math.inf])
def test_seed_that_is_no_such_number_gives_its_bits(written: float) -> None:
    model = _form(f"r = {DRAW[:-1]}, seed = 1.0> (x) y = PRelu(x, r)")
    next(a for a in model.graph.node[0].attribute if a.name == "seed").f = written
    assert values_of(fused(model)[0])[0]["seed"] == int(np.float32(written).view(np.uint32))


def test_no_two_nodes_share_a_seed() -> None:
    seeded = f"{DRAW[:-1]}, seed = 5.0>"
    model = parsed(f"""net (float[9] x) => (float[9] y) {{
        a = {seeded} (x) b = PRelu(x, a) c = {seeded} (b) d = PRelu(b, c)
        e = {DRAW} (d) f = PRelu(d, e) g = {DRAW} (f) y = PRelu(f, g) }}""")
    made, said = fused(model)
    seeds = [values["seed"] for values in values_of(made)]
    assert seeds == [5, ort_rrelu.reference.derive_seed(5, 0), -1, -2]
    assert "seed 5 (carried over)" in said[0].reason
    assert "derived from 5" in said[1].reason
    assert "entropy" in said[2].reason
    again = parsed(f"net (float[9] x) => (float[9] y) {{ a = {seeded} (x) y = PRelu(x, a) }}")
    joined = onnx.compose.merge_models(
        made, onnx.compose.add_prefix(_like(again, made), "second/"), io_map=[("y", "second/x")]
    )
    third = values_of(fused(joined)[0])
    assert len({values["seed"] for values in third}) == 5


def _like(model: onnx.ModelProto, other: onnx.ModelProto) -> onnx.ModelProto:
    """With its versions, so that the two can be joined."""
    model.ir_version = other.ir_version
    del model.opset_import[:]
    model.opset_import.extend(other.opset_import)
    return model


# what is said


def test_report() -> None:
    model = parsed(f"""net (float[9] x) => (float[9] y, float[9] r) {{
        [draw] a = {DRAW} (x) [leak] b = PRelu(x, a) [other] r = {DRAW} (b) d = LeakyRelu(b)
        y = PRelu(d, r) }}""")
    assert findings(model) == [
        Finding(
            "leak",
            True,
            "PRelu with a slope from RandomUniformLike: bounds 0.125 and 0.5, "
            "seed -1 (fresh entropy in each session)",
        ),
        Finding("other", False, '"r" is used elsewhere, or is an output'),
        Finding("d", False, "nothing in a LeakyRelu tells that it was an RReLU in eval mode"),
    ]


def test_without_report_it_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    model = _form(f"[leak] a = LeakyRelu(x) r = {DRAW} (a) [rrelu] y = PRelu(a, r)")
    with caplog.at_level("DEBUG", "ort_rrelu.graph.fuse"):
        ort_rrelu.graph.fuse(model)
    assert [(record.levelname, record.getMessage().split(":")[0]) for record in caplog.records] == [
        ("INFO", "rrelu is RRelu now"),
        ("DEBUG", "leak stays"),
    ]


@pytest.mark.parametrize(
    "nodes",
    [
        f"r = {DRAW} (x) a = PRelu(x, r) c = Less(a, zero) q = {DRAW} (a) p = Mul(a, q) y = Where(c, p, a)",
        f"c = Less(x, zero) q = {DRAW} (x) p = Mul(x, q) a = Where(c, p, x) r = {DRAW} (a) y = PRelu(a, r)",
        f"c = Less(x, zero) q = {DRAW} (x) f = Where(c, q, one) a = Mul(x, f) r = {DRAW} (x) y = PRelu(a, r)",
    ],
)
def test_two_in_a_row(nodes: str) -> None:
    made, _ = fused(_form(nodes))
    assert ops(made) == ["RRelu", "RRelu"]
    assert [list(node.input) for node in nodes_of(made)] == [["x"], ["a"]]


def test_functions_that_a_merging_tool_renamed_are_ours() -> None:
    """What is fused beside them shares one function with them."""
    form = _form(_FORMS["PRelu"])
    first, _ = fused(form)
    made, _ = fused(onnx.compose.merge_models(first, form, [("y", "x")], prefix1="a/", prefix2="b/"))
    assert ops(made) == ["RRelu", "RRelu"]
    assert [function.name for function in made.functions] == ["RRelu"]
    assert values_of(made)[0] == values_of(first)[0]
