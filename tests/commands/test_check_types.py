"""Types that our ops do not take are refused wherever standard operators would compute with them."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest

import ort_rrelu
from ort_rrelu.graph import fuse, lower, portable
from tests.commands.command_line import refused
from tests.onnx_models import DTYPES, parsed, rrelu_model

_RRELU = "ort_rrelu.RRelu"
_TOOLS: dict[str, Callable[[onnx.ModelProto], onnx.ModelProto]] = {
    "portable": portable,
    "lower": lower,
    "lower exact": functools.partial(lower, exact=True),
}
every_tool = pytest.mark.parametrize("tool", _TOOLS.values(), ids=_TOOLS)


_CALLED = f"""<domain: "own", opset_import: ["": 18, "ort_rrelu": 1]> F (v) => (w) {{
    h = Neg (v) [act] w = {_RRELU} (h) }}"""
_TWO_CALLS = "net (float[n] x, {0}[n] i) => (float[n] y, {0}[n] k) {{ y = own.F (x) k = own.F (i) }}"
_X = 'node "act": "{}" is of type {}: X must be of type FLOAT or '
_REFUSED = {
    "an input": (
        parsed(f"net (int32[n] x) => (int32[n] y) {{ [act] y = {_RRELU} (x) }}"),
        _X.format("x", "INT32"),
    ),
    "without a name": (
        parsed(f"net (uint8[n] x) => (uint8[n] y) {{ y = {_RRELU} (x) }}"),
        'node with output "y": "x" is of type UINT8: X must be of type FLOAT or ',
    ),
    "inferred": (
        parsed(f"""net (float[n] x) => (float[n] y) {{
            i = Cast <to = 7> (x) j = Abs (i) [act] k = {_RRELU} (j) y = Cast <to = 1> (k) }}"""),
        _X.format("j", "INT64"),
    ),
    "an initializer": (
        parsed(f"net () => (int32[2] y) <int32[2] x = {{1, 2}}> {{ [act] y = {_RRELU} (x) }}"),
        _X.format("x", "INT32"),
    ),
    "an output": (
        parsed(f"net (float[n] x) => (int32[n] y) {{ h = own.Op (x) [act] y = {_RRELU} (h) }}"),
        'node "act": "y" is of type INT32: Y must be of type FLOAT or ',
    ),
    "in a body": (
        parsed(f"""net (bool c, int32[n] x) => (int32[n] y) {{ y = If (c) <
            then_branch = t () => (int32[n] u) {{ [act] u = {_RRELU} (x) }},
            else_branch = e () => (int32[n] v) {{ v = Neg (x) }}> }}"""),
        _X.format("x", "INT32"),
    ),
    "in a function": (
        parsed(_TWO_CALLS.format("int32"), _CALLED),
        "is of type INT32: X must be of type FLOAT or ",
    ),
    "the gradient": (
        parsed("net (int32[n] d, int32[n] s) => (int32[n] g) { [act] g = ort_rrelu.RReluGrad (d, s) }"),
        'node "act": "d" is of type INT32: dY must be of type FLOAT or ',
    ),
    "noise of another type": (
        parsed("net (float[n] d, double[n] s) => (float[n] g) { [act] g = ort_rrelu.RReluGrad (d, s) }"),
        'node "act": "s" is of type DOUBLE, and dY of type FLOAT: noise is of the type of dY',
    ),
    "a step": (
        parsed(f"net (float[n] x, int32 s) => (float[n] y) {{"
                f"[act] y = {_RRELU} <training = 1, seed = 1> (x, s) }}"),
        'node "act": "s" is of type INT32: step must be of type INT64',
    ),
    "a bound in bfloat16": (
        parsed(f"net (bfloat16[n] x) => (bfloat16[n] y) {{ [act] y = {_RRELU} <upper = 3.4e38> (x) }}"),
        'node "act": upper=3.39999995e.38 is not finite in bfloat16',
    ),
    "a bound in a body": (
        parsed(f"""net (bool c, float16[n] x) => (float16[n] y) {{ y = If (c) <
            then_branch = t () => (float16[n] u) {{ h = Neg (x) [act] u = {_RRELU} <upper = 65520.0> (h) }},
            else_branch = e () => (float16[n] v) {{ v = Neg (x) }}> }}"""),
        'node "act": upper=65520 is not finite in float16',
    ),
}  # fmt: skip


@every_tool
@pytest.mark.parametrize(("model", "message"), _REFUSED.values(), ids=_REFUSED)
def test_refused(
    model: onnx.ModelProto, message: str, tool: Callable[[onnx.ModelProto], onnx.ModelProto]
) -> None:
    before = model.SerializeToString()
    with pytest.raises(ValueError, match=message) as caught:
        tool(model)
    assert isinstance(caught.value, ort_rrelu.Error)
    assert model.SerializeToString() == before


@pytest.mark.parametrize(("model", "message"), _REFUSED.values(), ids=_REFUSED)
def test_info_refuses(
    model: onnx.ModelProto, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("model.onnx").write_bytes(model.SerializeToString())
    assert message.replace("e.38", "e+38") in refused("info model.onnx")


@every_tool
@pytest.mark.parametrize("element", DTYPES, ids=[str(dtype) for dtype in DTYPES.values()])
def test_types_that_are_taken(element: int, tool: Callable[[onnx.ModelProto], onnx.ModelProto]) -> None:
    tool(rrelu_model(element, training=1, seed=1, with_step=True))


@every_tool
def test_a_function_called_with_two_types(tool: Callable[[onnx.ModelProto], onnx.ModelProto]) -> None:
    tool(
        parsed(
            "net (float[n] x, double[n] i) => (float[n] y, double[n] k) { y = own.F (x) k = own.F (i) }",
            _CALLED,
        )
    )


def test_fuse_refuses_what_portable_refuses() -> None:
    model = parsed(
        f"""net (float[n] x, int32[n] i) => (float[n] y, int32[n] k) {{
            r = RandomUniformLike (x) y = PRelu (x, r) [act] k = {_RRELU} (i) }}"""
    )
    with pytest.raises(ValueError, match=_X.format("i", "INT32")):
        fuse(model)
