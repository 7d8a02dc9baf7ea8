"""fuse(portable=False) in functions: ONNX Runtime loads what it made, and the kernels draw."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

import ort_rrelu
from ort_rrelu import reference
from ort_rrelu.errors import InvalidValueError
from ort_rrelu.graph import Finding
from ort_rrelu.graph.nodes import our_nodes
from tests.bits import assert_same_bits
from tests.fusing import fused, parsed
from tests.onnx_models import Array, run, session

_X = np.random.default_rng(7).normal(size=(5,)).astype(np.float32)
_DRAW = "RandomUniformLike <low = 0.125, high = 0.5, seed = 3.0>"
_LEAK = f"r = {_DRAW} (x) y = PRelu (x, r)"


def _function(name: str, body: str) -> str:
    return f'<domain: "own", opset_import: ["": 18, "own": 1]> {name} (x) => (y) {{ {body} }}'


_F = _function("F", _LEAK)
_SHAPE = "net (float[5] x) => (float[5] y)"
_CALLS = {
    "a call": parsed(f"{_SHAPE} {{ h = own.F (x) y = Neg (h) }}", functions=_F),
    "a call that is declared": parsed(
        f"{_SHAPE} <float[5] h> {{ h = own.F (x) y = Neg (h) }}", functions=_F
    ),
    "a call that is an output": parsed(f"{_SHAPE} {{ h = Neg (x) g = Neg (h) y = own.N (g) }}",
        functions=_function("N", f"r = {_DRAW} (x) z = PRelu (x, r) y = Neg (z)")),
    "more after it": parsed(
        f"{_SHAPE} {{ h = own.F (x) y = Neg (h) }}",
        functions=_function("F", f"r = {_DRAW} (x) z = PRelu (x, r) w = Neg (z) y = Neg (w)"),
    ),
    "a function in a function": parsed(
        f"{_SHAPE} {{ h = own.G (x) y = Neg (h) }}", functions=_F + _function("G", "y = own.F (x)")
    ),
    "in a body": parsed(
        f"""{_SHAPE} {{ c = Constant <value = bool {{1}}> () y = If (c) <
            then_branch = t () => (float[5] u) {{ h = own.F (x) u = Neg (h) }},
            else_branch = e () => (float[5] v) {{ v = Neg (x) }}> }}""",
        functions=_F,
    ),
}  # fmt: skip


def _expected(x: Array) -> Array:
    return -np.asarray(reference.rrelu(x, 0.125, 0.5, True, seed=3, step=0))


@pytest.mark.parametrize("portable", [False, True])
@pytest.mark.parametrize("model", _CALLS.values(), ids=_CALLS)
def test_calls_of_functions_have_types(model: onnx.ModelProto, portable: bool) -> None:
    made, findings = fused(model, portable=portable)
    assert [finding.fused for finding in findings] == [True]
    assert_same_bits(run(session(made), _X)[0], _expected(_X))


def test_a_type_is_declared_once() -> None:
    made, _ = fused(_CALLS["a call that is declared"], portable=False)
    assert [value.name for value in made.graph.value_info] == ["h"]


def test_other_calls_are_left_alone() -> None:
    functions = _F + _function("G", "y = Neg (x)")
    made, _ = fused(
        parsed(f"{_SHAPE} {{ h = own.F (x) y = own.G (h) }}", functions=functions), portable=False
    )
    assert [value.name for value in made.graph.value_info] == ["h"]


_IN_A_BODY = parsed(
    f"{_SHAPE} {{ h = own.B (x) y = Neg (h) }}",
    functions=_function(
        "B",
        f"""c = Constant <value = bool {{1}}> () y = If (c) <
            then_branch = t () => (u) {{ r = {_DRAW} (x) [leak] u = PRelu (x, r) }},
            else_branch = e () => (v) {{ v = Neg (x) }}>""",
    ),
)


def test_a_body_in_a_function_stays() -> None:
    """No type can be written down there that serves every call."""
    made, findings = fused(_IN_A_BODY, portable=False)
    assert [(f.node, f.fused) for f in findings] == [("leak", False)]
    assert "portable=True" in findings[0].reason
    assert made == _IN_A_BODY


def test_a_body_in_a_function_of_a_portable_model() -> None:
    made, findings = fused(_IN_A_BODY)
    assert [finding.fused for finding in findings] == [True]
    assert len(our_nodes(made)) == 1
    assert_same_bits(run(session(made), _X)[0], _expected(_X))


def test_type_that_nobody_knows() -> None:
    model = onnx.parser.parse_model(
        f"""<ir_version: 8, opset_import: ["": 18, "own": 1, "foreign": 1]> {_SHAPE} {{
            k = foreign.Op (x) [call] h = own.F (k) y = Neg (h) }} {_F}"""
    )
    before, said = model.SerializeToString(), list[Finding]()
    with pytest.raises(InvalidValueError, match='node "call": the type of its output "h"'):
        ort_rrelu.graph.fuse(model, report=said.append, portable=False)
    assert (model.SerializeToString(), said) == (before, [])
