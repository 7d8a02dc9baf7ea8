"""What is refused with lower_eval=False is refused with lower_eval=True too, and what runs runs."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper, numpy_helper

import ort_rrelu
from ort_rrelu import reference
from ort_rrelu.graph.check import checked_nodes
from ort_rrelu.graph.eval_nodes import lower_eval_nodes
from tests.bits import assert_same_bits
from tests.draws import normal
from tests.onnx_models import FLOAT, Array, parsed

_X = normal((3, 2), FLOAT)


def _model(node: str, *, more: str = "", step: Array | None = None, declared: str = "") -> onnx.ModelProto:
    values = f"<{declared}>" if declared else ""
    model = parsed(f"net (float[3,2] x) => (float[3,2] y) {values} {{ {more} {node} }}")
    if step is not None:
        model.graph.initializer.append(numpy_helper.from_array(step, "step"))
    return model


def _with_step(step: Any) -> onnx.ModelProto:
    return _model("y = ort_rrelu.RRelu (x, step)", step=np.asarray(step))


def _with_cut_step() -> onnx.ModelProto:
    model = _with_step(0)
    model.graph.initializer[0].raw_data = b"cut"
    return model


def _with_attributes(*attributes: onnx.AttributeProto) -> onnx.ModelProto:
    model = _model("y = ort_rrelu.RRelu (x)")
    model.graph.node[0].attribute.extend(attributes)
    return model


def _with_two_values() -> onnx.ModelProto:
    attribute = helper.make_attribute("lower", 0.1)
    attribute.i = 3
    return _with_attributes(attribute)


def _with_opsets(*versions: int) -> onnx.ModelProto:
    model = _model("y = ort_rrelu.RRelu (x)")
    kept = [entry for entry in model.opset_import if entry.domain != "ort_rrelu"]
    del model.opset_import[:]
    model.opset_import.extend([*kept, *(helper.make_opsetid("ort_rrelu", each) for each in versions)])
    return model


_INPUT_OF_TWO = "net (float[3,2] x, int64[2] step) => (float[3,2] y) { y = ort_rrelu.RRelu (x, step) }"
_IN_A_BODY = """net (float[3,2] x) => (float[3,2] y) { t = Constant <value = bool {1}> () y = If (t) <
    then_branch = a () => (float[3,2] u) { step = Constant <value = int64[2] {1, 2}> ()
        u = ort_rrelu.RRelu (x, step) },
    else_branch = b () => (float[3,2] v) { v = Identity (x) }> }"""

_BAD = {
    "a step of two elements": _with_step([0, 1]),
    "a step of no element": _with_step(np.zeros(0, np.int64)),
    "a step of two dimensions": _with_step([[0, 1, 2]]),
    "a constant step of two elements": _model(
        "y = ort_rrelu.RRelu (x, s)", more="s = Constant <value = int64[2] {1, 2}> ()"
    ),
    "a constant step of two ints": _model(
        "y = ort_rrelu.RRelu (x, s)", more="s = Constant <value_ints = [1, 2]> ()"
    ),
    "a step in a body": parsed(_IN_A_BODY),
    "an input of two steps": parsed(_INPUT_OF_TWO),
    "a step of float": _with_step(np.float32(0)),
    "a step of int32": _with_step(np.int32(0)),
    "a computed step of int32": _model(
        "y = ort_rrelu.RRelu (x, s)", more="n = Size (x) s = Cast <to = 6> (n)"
    ),
    "a step that nothing writes": _model("y = ort_rrelu.RRelu (x, nowhere)"),
    "a step of an unknown operator": _model("y = ort_rrelu.RRelu (x, s)", more="s = own.Unknown (x)"),
    "a step whose data are cut": _with_cut_step(),
    "training twice": _with_attributes(*[helper.make_attribute("training", 0)] * 2),
    "two bounds": _with_attributes(*(helper.make_attribute("lower", each) for each in (0.1, 0.2))),
    "two values": _with_two_values(),
    "opset 0": _with_opsets(0),
    "a negative opset": _with_opsets(-1),
    "an opset that is no int32": _with_opsets(2**33),
    "opsets of which the last is 0": _with_opsets(1, 0),
    "three inputs": _model("y = ort_rrelu.RRelu (x, step, x)", step=np.array(0)),
    "four outputs": _model("y, n, r, more = ort_rrelu.RRelu (x)"),
    "noise that another node writes": _model("y, n = ort_rrelu.RRelu (x) n = Neg (x)"),
    "noise that is x": _model("y, x = ort_rrelu.RRelu (x)"),
    "noise of int32": _model("y, n = ort_rrelu.RRelu (x)", declared="int32[3,2] n"),
    "a reserve of float": _model('y, "", r = ort_rrelu.RRelu (x)', declared="float[n] r"),
}


def _run(model: onnx.ModelProto, lower_eval: bool, options: onnxruntime.SessionOptions) -> list[Array]:
    options.log_severity_level = 4
    of = ort_rrelu.InferenceSession(
        model.SerializeToString(), options, ["CPUExecutionProvider"], lower_eval=lower_eval
    )
    feeds: dict[str, Array] = {"x": _X}
    if len(of.get_inputs()) > 1:
        feeds["step"] = np.arange(2)
    return list(of.run(None, feeds))


@pytest.mark.parametrize("model", _BAD.values(), ids=_BAD)
@pytest.mark.parametrize("lower_eval", [True, False])
def test_refused(model: onnx.ModelProto, lower_eval: bool) -> None:
    with pytest.raises(Exception, match=r"\S"):
        _run(model, lower_eval, onnxruntime.SessionOptions())


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ([helper.make_attribute("lower", 0.1)] * 2, "attribute lower is given twice: give it once"),
        (
            list(_with_two_values().graph.node[0].attribute),
            "attribute lower has values of several types, in the fields f, i: it must have one",
        ),
    ],
)
def test_messages_of_attributes(attributes: list[onnx.AttributeProto], message: str) -> None:
    with pytest.raises(ValueError, match=f'^ort_rrelu:RRelu node with output "y": {message}$') as caught:
        checked_nodes(_with_attributes(*attributes))
    assert isinstance(caught.value, ort_rrelu.Error)


_GOOD = {
    "no step": _model("y = ort_rrelu.RRelu (x)"),
    "one step": _with_step(7),
    "one step of two dimensions": _with_step([[7]]),
    "a step for each row": _with_step([1, 2, 3]),
    "a constant step": _model("y = ort_rrelu.RRelu (x, s)", more="s = Constant <value_int = 5> ()"),
    "a computed step": _model("y = ort_rrelu.RRelu (x, s)", more="s = Size (x)"),
    "noise and reserve": _model("y, n, r = ort_rrelu.RRelu (x)", declared="float[3,2] n, uint8[k] r"),
    "no opset": _with_opsets(),
    "an opset to come": _with_opsets(2),
}


@pytest.mark.parametrize("model", _GOOD.values(), ids=_GOOD)
def test_lowered(model: onnx.ModelProto) -> None:
    """So that those above are not just all left to the kernel."""
    for lower_eval in (True, False):
        assert_same_bits(_run(model, lower_eval, onnxruntime.SessionOptions())[0], reference.rrelu(_X))
    assert lower_eval_nodes(model, checked_nodes(model))


def test_steps_of_rows_that_nobody_declares() -> None:
    """Three steps are right for three rows only, and how many x has is for the run to say."""
    model = parsed("net (float[n,2] x) => (float[n,2] y) { y = ort_rrelu.RRelu (x, step) }")
    model.graph.initializer.append(numpy_helper.from_array(np.arange(3), "step"))
    assert not lower_eval_nodes(model, checked_nodes(model))


# Session options that name an initializer.


def _with_step_elsewhere() -> onnx.ModelProto:
    model = _with_step(0)
    (step,) = model.graph.initializer
    step.ClearField("raw_data")
    step.data_location = onnx.TensorProto.EXTERNAL
    step.external_data.add(key="location", value="nowhere")
    return model


@pytest.mark.parametrize("lower_eval", [True, False])
def test_options_that_bring_the_step(lower_eval: bool) -> None:
    """ONNX Runtime refuses options with a name that the model has not."""
    options, value = onnxruntime.SessionOptions(), onnxruntime.OrtValue.ortvalue_from_numpy(np.array(5))
    options.add_external_initializers(["step"], [value])
    (y,) = _run(_with_step_elsewhere(), lower_eval, options)
    assert_same_bits(y, reference.rrelu(_X))


@pytest.mark.parametrize("lower_eval", [True, False])
def test_options_that_share_the_step(lower_eval: bool) -> None:
    options, value = onnxruntime.SessionOptions(), onnxruntime.OrtValue.ortvalue_from_numpy(np.array(5))
    options.add_initializer("step", value)
    (y,) = _run(_with_step(0), lower_eval, options)
    assert_same_bits(y, reference.rrelu(_X))


def test_without_options_a_step_in_another_file_is_not_needed() -> None:
    of = ort_rrelu.InferenceSession(
        _with_step_elsewhere().SerializeToString(), providers=["CPUExecutionProvider"]
    )
    assert_same_bits(of.run(None, {"x": _X})[0], reference.rrelu(_X))
