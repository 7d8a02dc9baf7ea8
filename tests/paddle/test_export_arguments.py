"""Arguments of export that are refused: by name, with the value and what is allowed, before any work."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import paddle
import paddle.nn.functional as F  # noqa: N812
import pytest
from paddle import nn
from paddle.static import InputSpec

import ort_rrelu
from ort_rrelu.errors import InvalidTypeError, InvalidValueError
from tests.paddle.constructs import Chain

_SPEC = [InputSpec([None, 7], "float32", "x")]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"seed": -1}, InvalidValueError, "seed=-1"),
        ({"training": "yes"}, InvalidTypeError, "training='yes': it must be None, True or False"),
        ({"step_input": "no"}, InvalidValueError, "step_input='no': it must be True, False or 'rows'"),
        ({"portable": 1}, InvalidTypeError, "portable=1: it must be True or False"),
        ({"opset_version": 17}, InvalidValueError, "opset_version=17: a portable model needs 18 or newer"),
        ({"opset_version": 6}, InvalidValueError, "opset_version=6: it must be from 7 to 21"),
        ({"opset_version": 99}, InvalidValueError, "opset_version=99: it must be from 7 to 21"),
        ({"opset_version": "17"}, InvalidTypeError, "opset_version='17': it must be an integer from 7 to 21"),
        ({"opset_version": 17.0}, InvalidTypeError, r"opset_version=17\.0: it must be an integer"),
        ({"opset_version": True}, InvalidTypeError, "opset_version=True: it must be an integer"),
        (
            {"optimize_tool": "polygraphy"},
            InvalidValueError,
            "optimize_tool: not an option; allowed are auto_",
        ),
        ({"verbose": "no"}, InvalidTypeError, "verbose='no': it must be True or False"),
        ({"verbose": {1}}, InvalidTypeError, r"verbose=\{1\}: it must be True or False"),
        ({"f": b"net.onnx"}, InvalidTypeError, "f=b'net.onnx': it must be the path of a file, as a str or"),
        ({"f": 3}, InvalidTypeError, "f=3: it must be the path of a file"),
        ({"input_spec": _SPEC[0]}, InvalidTypeError, r"input_spec=InputSpec.*: it must be a list or tuple"),
        ({"input_spec": "x"}, InvalidTypeError, "input_spec='x': it must be a list or tuple"),
        (
            {"input_spec": {"x": _SPEC[0]}},
            InvalidTypeError,
            r"input_spec=\{'x'.*: it must be a list or tuple",
        ),
        (
            {"input_spec": iter(_SPEC)},
            InvalidTypeError,
            "input_spec=<.*iterator.*: it must be a list or tuple",
        ),
        ({"feed_vars": []}, InvalidValueError, "feed_vars and fetch_vars: a Program needs both"),
    ],
)
def test_refused_arguments(arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=f"^{message}"):
        ort_rrelu.paddle.export(Chain(), **{"input_spec": _SPEC, **arguments})


def _function(x: paddle.Tensor) -> paddle.Tensor:
    return F.rrelu(x)


class _Callable:
    def __call__(self, x: paddle.Tensor) -> paddle.Tensor:
        return F.rrelu(x)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (3, "layer_or_path=3: it must be a paddle.nn.Layer"),
        (None, "layer_or_path=None: it must be"),
        (b"net", "layer_or_path=b'net': it must be"),
        (np.zeros(3), "layer_or_path=array.*: it must be"),
        (nn.RReLU, r"layer_or_path=<class '.*RReLU'>: it must be a paddle.nn.Layer \(not its class\)"),
        (_Callable(), "layer_or_path=<.*_Callable object.*: it must be"),
        (functools.partial(_function), r"layer_or_path=functools\.partial.*: it must be"),
        (
            lambda x: F.rrelu(x),
            "layer_or_path=<function <lambda>.*: it must be one that was written with def",
        ),
        (abs, "layer_or_path=<built-in function abs>: .* it must be one that was written with def"),
    ],
)
def test_nothing_to_export(model: Any, message: str) -> None:
    with pytest.raises(InvalidTypeError, match=f"^{message}"):
        ort_rrelu.paddle.export(model, None, _SPEC)


def test_function_without_input_spec() -> None:
    with pytest.raises(InvalidValueError, match=r"^input_spec=None: a layer or function"):
        ort_rrelu.paddle.export(_function)


@pytest.fixture
def static_mode() -> Iterator[None]:
    paddle.enable_static()
    yield
    paddle.disable_static()


def _program() -> tuple[Any, Any, Any]:
    main = paddle.static.Program()
    with paddle.static.program_guard(main):
        x = paddle.static.data("x", [None, 7], "float32")
        y = F.rrelu(x, 0.1, 0.3)
    return main, x, y


_VARIABLES: dict[str, tuple[Any, type[Exception], str]] = {
    "feed of another": (
        lambda _, y, other: {"feed_vars": [other], "fetch_vars": [y]},
        InvalidValueError,
        r"feed_vars\[0\] is a variable of another program",
    ),
    "fetch of another": (
        lambda x, y, other: {"feed_vars": [x], "fetch_vars": (y, other)},
        InvalidValueError,
        r"fetch_vars\[1\] is a variable of another program",
    ),
    "no list": (
        lambda x, y, _: {"feed_vars": [x], "fetch_vars": y},
        InvalidTypeError,
        "fetch_vars is a Value: it must be a list",
    ),
    "a name": (
        lambda _, y, __: {"feed_vars": ["x"], "fetch_vars": [y]},
        InvalidTypeError,
        r"feed_vars\[0\]='x': it must be a variable",
    ),
    "fetch missing": (
        lambda x, _, __: {"feed_vars": [x]},
        InvalidValueError,
        "feed_vars and fetch_vars: a Program needs both",
    ),
}


@pytest.mark.parametrize(("arguments", "error", "message"), _VARIABLES.values(), ids=_VARIABLES)
def test_variables_that_are_not_of_the_program(
    arguments: Any, error: type[Exception], message: str, static_mode: None
) -> None:
    main, x, y = _program()
    _another, other, _ = _program()
    with pytest.raises(error, match=f"^{message}"):
        ort_rrelu.paddle.export(main, **arguments(x, y, other))


def test_variable_of_a_program_that_is_gone(static_mode: None) -> None:
    main, x, _ = _program()
    gone, _, y = _program()
    del gone
    with pytest.raises(InvalidValueError, match=r"^fetch_vars\[0\] is a variable of another program"):
        ort_rrelu.paddle.export(main, feed_vars=[x], fetch_vars=[y])


_OLD_IR = """
import paddle, ort_rrelu
{model}
try:
    ort_rrelu.paddle.export({arguments})
except {error} as error:
    print(error)
"""
_PROGRAM = """paddle.enable_static()
x = paddle.static.data("x", [None, 7])
y = paddle.nn.functional.relu(x)"""


@pytest.mark.parametrize(
    ("model", "arguments", "error", "message"),
    [
        (
            "net = paddle.nn.RReLU()",
            "net, None, [paddle.static.InputSpec([None, 7])]",
            "ValueError",
            "RReLU cannot be exported while Paddle's old IR is in use (FLAGS_enable_pir_api=0), but the "
            ".pdmodel file that paddle.jit.save makes of it can",
        ),
        (
            _PROGRAM,
            "paddle.static.default_main_program(), feed_vars=[x], fetch_vars=[y]",
            "TypeError",
            "a program of Paddle's old IR cannot be exported, but the .pdmodel file that "
            "paddle.static.save_inference_model makes of it can",
        ),
    ],
    ids=["layer", "program"],
)
def test_old_ir_says_what_to_do(model: str, arguments: str, error: str, message: str) -> None:
    code = _OLD_IR.format(model=model, arguments=arguments, error=error)
    environment = os.environ | {"FLAGS_enable_pir_api": "0"}
    printed = subprocess.check_output([sys.executable, "-c", code], env=environment, text=True)
    assert printed.strip().splitlines()[-1] == message
