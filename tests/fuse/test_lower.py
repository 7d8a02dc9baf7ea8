"""fuse undoes what lower does to train nodes."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto

import ort_rrelu
from ort_rrelu.graph.lower import lower
from tests.fusing import fused, ops, values_of
from tests.onnx_models import BFLOAT16, DTYPES, FLOAT, rrelu_model

_TYPES = {element: TensorProto.DataType.Name(element).lower() for element in DTYPES}
_bound = st.floats(-4, 4, width=32)


def _text(element: int, nodes: str, functions: str = "") -> onnx.ModelProto:
    header = '<ir_version: 8, opset_import: ["": 18, "ort_rrelu": 1, "own": 1]> '
    kind = _TYPES[element]
    return onnx.parser.parse_model(
        f"{header} net ({kind}[n] x, bool c, int64 k) => ({kind}[n] y) {{ {nodes} }} {functions}"
    )


def _train(lower_bound: float = 0.1, upper: float = 0.5, seed: int = -1) -> str:
    return f"ort_rrelu.RRelu <lower = {lower_bound}, upper = {upper}, training = 1, seed = {seed}>"


@pytest.mark.parametrize("element", DTYPES, ids=_TYPES.get)
@settings(max_examples=40)
@given(bounds=st.tuples(_bound, _bound).map(sorted), seed=st.integers(-3, 2**24 - 1))
def test_train_node_comes_back(element: int, bounds: list[float], seed: int) -> None:
    attributes: dict[str, Any] = {"lower": bounds[0], "upper": bounds[1], "training": 1, "seed": seed}
    model = rrelu_model(element, outputs=["y"], shape=["n"], name="act", **attributes)
    lowered = lower(model)
    assert "RRelu" not in ops(lowered)
    made, _ = fused(lowered, portable=False)
    assert ops(made) == ops(model)
    assert values_of(made) == [attributes | {"seed": max(seed, -1)}]
    (before,), (after,) = ([n for n in each.graph.node if n.op_type == "RRelu"] for each in (model, made))
    assert (before.input, before.output, before.name) == (after.input, after.output, after.name)


@pytest.mark.parametrize("element", DTYPES, ids=_TYPES.get)
def test_bodies(element: int) -> None:
    kind = _TYPES[element]
    model = _text(element, f"""
        a = {_train()} (x)
        b = If (c) <then_branch = t () => ({kind}[n] p) {{ p = {_train(0.2)} (a) }},
                    else_branch = e () => ({kind}[n] q) {{ q = {_train(-0.5, -0.25)} (x) }}>
        y = Loop (k, c, b) <body = l (int64 i, bool g, {kind}[n] s) => (bool h, {kind}[n] m)
                    {{ h = Identity(g) m = {_train(0.0, 2.0)} (s) }}>""")  # fmt: skip
    made, _ = fused(lower(model))
    assert ops(made) == ops(model)
    assert [(v["lower"], v["upper"], v["training"]) for v in values_of(made)] == [
        (v["lower"], v["upper"], v["training"]) for v in values_of(model)
    ]


@pytest.mark.parametrize("element", DTYPES, ids=_TYPES.get)
def test_functions(element: int) -> None:
    functions = f"""<domain: "own", opset_import: ["": 18, "ort_rrelu": 1]> Leak (v) => (z) {{
        w = {_train(0.25)} (v) z = Neg(w) }}"""
    model = _text(element, "a = own.Leak(x) y = own.Leak(a)", functions)
    lowered = lower(model)
    made, _ = fused(lowered)
    assert [op for op in ops(made) if op != "Leak"].count("RRelu") in (1, 2)  # inlined or not
    assert not {"RandomUniformLike", "Where", "Xor", "Mul", "PRelu"}.intersection(ops(made))
    assert {(v["lower"], v["upper"], v["training"]) for v in values_of(made)} == {(0.25, 0.5, 1)}


@pytest.mark.parametrize("element", DTYPES, ids=_TYPES.get)
def test_eval_node_stays_lowered(element: int) -> None:
    lowered = lower(rrelu_model(element, outputs=["y"], shape=["n"], training=0))
    assert ort_rrelu.graph.fuse(lowered).SerializeToString() == lowered.SerializeToString()


def test_eval_beside_train() -> None:
    nodes = f"a = {_train()} (x) y = ort_rrelu.RRelu <lower = 0.25, upper = 0.5, training = 0, seed = -1> (a)"
    made, _ = fused(lower(_text(FLOAT, nodes)))
    assert ops(made) == ["RRelu", "LeakyRelu"]


def test_slopes_of_a_bfloat16_model_stay_between_the_bounds() -> None:
    model = rrelu_model(BFLOAT16, outputs=["y"], shape=["n"], lower=0.25, upper=0.5, training=1, seed=3)
    made, _ = fused(lower(model))
    x = np.full(10_000, -1, np.float32)
    y = np.asarray(ort_rrelu.InferenceSession(made.SerializeToString()).run(None, {"x": x})[0])
    assert -0.5 <= y.min() < -0.49 and -0.26 < y.max() <= -0.25
