"""Models that are refused: by InferenceSession's check and, for who does without it, by the kernels."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

import ort_rrelu
from ort_rrelu import schema
from tests.onnx_models import (
    BFLOAT16,
    DOUBLE,
    FLOAT,
    FLOAT16,
    Array,
    grad_model,
    make_model,
    rrelu_model,
    run,
    session,
)

_NODE = 'ort_rrelu:RRelu node with output "y"'
_HUGE = 3e38


def _checked(model: onnx.ModelProto) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    return ort_rrelu.InferenceSession(
        model.SerializeToString(), options, ["CPUExecutionProvider"], lower_eval=False
    )


both_ways = pytest.mark.parametrize("load", [_checked, session], ids=["InferenceSession", "plain session"])

# What is wrong whatever the element type, and how the message goes on after naming the node.
_BAD_ATTRIBUTES: list[tuple[dict[str, Any], str]] = [
    ({"training": 2}, "training=2: it must be 0 or 1"),
    ({"training": -1}, "training=-1: it must be 0 or 1"),
    ({"training": 2**32}, "training=4294967296: it must be 0 or 1"),
    ({"training": 1.0}, "attribute training is of type FLOAT: it must be INT"),
    ({"training": "1"}, "attribute training is of type STRING: it must be INT"),
    ({"seed": 1.5}, "attribute seed is of type FLOAT: it must be INT"),
    ({"seed": [1]}, "attribute seed is of type INTS: it must be INT"),
    ({"lower": 0.5, "upper": 0.25}, "lower=0.5 is greater than upper=0.25: lower must not exceed upper"),
    ({"lower": math.nan}, "lower=nan is not a finite float"),
    ({"upper": math.nan}, "upper=nan is not a finite float"),
    ({"lower": -math.inf}, "lower=-inf is not a finite float"),
    ({"upper": math.inf}, "upper=inf is not a finite float"),
    (
        {"lower": -_HUGE, "upper": _HUGE},
        "upper - lower = inf (lower=-3.00000001e+38, upper=3.00000001e+38) is not a finite float",
    ),
    ({"lower": "0.1"}, "attribute lower is of type STRING: it must be FLOAT"),
    ({"lower": [0.1]}, "attribute lower is of type FLOATS: it must be FLOAT"),
    ({"upper": [1]}, "attribute upper is of type INTS: it must be FLOAT"),
    (
        {"upper": helper.make_tensor("value", TensorProto.FLOAT, [], [0.5])},
        "attribute upper is of type TENSOR: it must be FLOAT",
    ),
    ({"upper": 2**24 + 1}, "upper=16777217 is an INT that a float cannot hold exactly: write it as FLOAT"),
    ({"lower": -(2**63) + 1}, f"lower={-(2**63) + 1} is an INT that a float cannot hold exactly"),
    ({"upper": 2**63 - 1}, f"upper={2**63 - 1} is an INT that a float cannot hold exactly"),
]


@both_ways
@pytest.mark.parametrize(("attributes", "message"), _BAD_ATTRIBUTES, ids=lambda value: str(value)[:50])
def test_bad_attributes(
    load: Callable[[onnx.ModelProto], object], attributes: dict[str, Any], message: str
) -> None:
    with pytest.raises(Exception, match=re.escape(f"{_NODE}: {message}")) as caught:
        load(rrelu_model(**attributes))
    assert isinstance(caught.value, ort_rrelu.Error) == (load is _checked)
    assert isinstance(caught.value, ValueError) == (load is _checked)


# Only the kernel knows the element type.
@both_ways
@pytest.mark.parametrize(
    ("dtype", "attributes", "message"),
    [
        (FLOAT16, {"upper": 65520.0}, "upper=65520 is not finite in float16"),
        (FLOAT16, {"lower": -7e4}, "lower=-70000 is not finite in float16"),
        (
            FLOAT16,
            {"lower": -4e4, "upper": 4e4},
            "upper - lower = 80000 (lower=-40000, upper=40000) is not finite in float16",
        ),
        (BFLOAT16, {"upper": 3.4e38}, "upper=3.39999995e+38 is not finite in bfloat16"),
        (BFLOAT16, {"lower": -3.4e38}, "lower=-3.39999995e+38 is not finite in bfloat16"),
        (
            BFLOAT16,
            {"lower": -1.7e38, "upper": 1.7e38},
            "upper - lower = 3.39999995e+38 (lower=-1.69999998e+38, upper=1.69999998e+38) "
            "is not finite in bfloat16",
        ),
    ],
)
def test_bounds_that_the_element_type_cannot_hold(
    load: Callable[[onnx.ModelProto], object], dtype: int, attributes: dict[str, Any], message: str
) -> None:
    with pytest.raises(Exception, match=re.escape(f": {message}")):
        load(rrelu_model(dtype, **attributes))


@both_ways
@pytest.mark.parametrize(
    ("dtype", "attributes", "mean"),
    [
        (FLOAT, {"lower": 0, "upper": 1}, 0.5),
        (FLOAT, {"lower": -2, "upper": -2}, -2),
        (FLOAT, {"lower": 0, "upper": 2**60}, 2.0**59),
        (FLOAT, {"lower": -(2**63), "upper": -(2**63)}, -(2.0**63)),
        (FLOAT, {"lower": 1.5, "upper": 2.5}, 2),
        (FLOAT, {"upper": _HUGE, "lower": _HUGE}, float(np.float32(_HUGE))),
        (DOUBLE, {"upper": _HUGE, "lower": _HUGE}, float(np.float32(_HUGE))),
        (FLOAT16, {"lower": 65504.0, "upper": 65504.0}, 65504),
        (FLOAT16, {"lower": 65519.0, "upper": 65519.0}, 65504),
    ],
)
def test_allowed_attributes(
    load: Callable[[onnx.ModelProto], onnxruntime.InferenceSession],
    dtype: int,
    attributes: dict[str, Any],
    mean: float,
) -> None:
    x = np.zeros(1, {FLOAT: np.float32, DOUBLE: np.float64, FLOAT16: np.float16}[dtype])
    assert run(load(rrelu_model(dtype, **attributes)), x)[1].tolist() == [mean]


@both_ways
def test_message_names_the_node(load: Callable[[onnx.ModelProto], object]) -> None:
    with pytest.raises(Exception, match='ort_rrelu:RRelu node "block/act": training=2'):
        load(rrelu_model(name="block/act", training=2))


@pytest.mark.parametrize(
    ("attribute", "hint"),
    [
        ("trainning", "; did you mean 'training'?"),
        ("Lower", "; did you mean 'lower'?"),
        ("alpha", ""),
    ],
)
def test_misspelt_attributes(attribute: str, hint: str) -> None:
    message = f"{_NODE}: unknown attribute {attribute!r}: allowed are lower, seed, training, upper{hint}"
    attributes: dict[str, Any] = {attribute: 1}
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        _checked(rrelu_model(**attributes))


def test_attributes_in_the_body_of_a_loop_are_checked() -> None:
    body = rrelu_model(outputs=["y"], training=2).graph
    node = helper.make_node("If", ["condition"], ["out"], then_branch=body, else_branch=body)
    info = helper.make_tensor_value_info("condition", TensorProto.BOOL, [])
    out = helper.make_tensor_value_info("out", TensorProto.FLOAT, None)
    with pytest.raises(ValueError, match="training=2"):
        _checked(make_model([node], [info], [out]))


@pytest.mark.parametrize("op", ["RReluu", "LeakyRelu"])
def test_unknown_ops_of_our_domain(op: str) -> None:
    info = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in "xy"]
    model = make_model([helper.make_node(op, ["x"], ["y"], domain=schema.DOMAIN)], info[:1], info[1:])
    message = (
        f"ort_rrelu:{op} node with output \"y\": unknown op '{op}': domain ort_rrelu has RRelu, RReluGrad"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        _checked(model)


def test_element_types_that_the_operator_does_not_have() -> None:
    with pytest.raises(
        Exception, match=r"Type 'tensor\(int32\)' of input parameter \(x\) of operator \(RRelu\)"
    ):
        _checked(rrelu_model(TensorProto.INT32))


# Tensors that only a run can refuse.


@both_ways
@pytest.mark.parametrize("shape", [(0,), (2,), (1, 3)], ids=str)
def test_step_of_another_size(
    load: Callable[[onnx.ModelProto], onnxruntime.InferenceSession], shape: tuple[int, ...]
) -> None:
    node = load(rrelu_model(with_step=True, training=1))
    message = (
        f"{_NODE}: input step has shape {list(shape)}: for X of shape [3] it must have one element, "
        "or shape [3], one for each row"
    )
    with pytest.raises(Exception, match=re.escape(message)):
        node.run(None, {"x": np.ones(3, np.float32), "step": np.zeros(shape, np.int64)})
    # The session lives on.
    assert len(run(node, np.ones(3, np.float32), np.zeros(1, np.int64))) == 2


@pytest.mark.parametrize(
    ("dy", "noise"), [((3,), (4,)), ((3,), (1, 3)), ((2, 3), (3, 2)), ((0,), (1,)), ((), (1,))], ids=str
)
def test_gradient_of_other_shape(dy: tuple[int, ...], noise: tuple[int, ...]) -> None:
    arrays: list[Array] = [np.ones(shape, np.float32) for shape in (dy, noise)]
    message = f"dY has shape {list(dy)} and noise {list(noise)}: they must be the same"
    with pytest.raises(Exception, match=re.escape(f'ort_rrelu:RReluGrad node "grad": {message}')):
        run(session(grad_model(name="grad")), *arrays)


# Files.


def test_missing_file(tmp_path: Path) -> None:
    for name in ("missing.onnx", "missing.ort"):
        with pytest.raises(FileNotFoundError, match=r"^there is no model file .*missing\.") as caught:
            ort_rrelu.InferenceSession(tmp_path / name)
        assert isinstance(caught.value, ort_rrelu.Error)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not an ONNX model"),
        (b"not a model", "not an ONNX model"),
        (rrelu_model().SerializeToString()[:-7], "not an ONNX model, or a damaged one"),
        (b"\x00\x01", "not an ONNX model, or a damaged one"),
    ],
    ids=["empty", "text", "cut off", "bytes"],
)
def test_damaged_models(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f"^{re.escape(str(path))}: {message}"):
        ort_rrelu.InferenceSession(path)
    with pytest.raises(ValueError, match=f"^the bytes given: {message}") as caught:
        ort_rrelu.InferenceSession(content)
    assert isinstance(caught.value, ort_rrelu.Error)


def test_a_folder_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"^there is no model file"):
        ort_rrelu.InferenceSession(tmp_path)
