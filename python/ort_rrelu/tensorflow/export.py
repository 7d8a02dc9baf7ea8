"""export: a TensorFlow or Keras model with rrelu -> an ONNX model with RRelu nodes."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

import onnx
from tf2onnx import constants

from ort_rrelu.arguments import StepInput, check_step_input, check_switch
from ort_rrelu.errors import InvalidTypeError, InvalidValueError
from ort_rrelu.exporting import as_opset_version, check_destination, finished, write_to
from ort_rrelu.graph import Finding
from ort_rrelu.graph.check import attributes
from ort_rrelu.graph.fuse import fuse_numbered
from ort_rrelu.graph.nodes import name_of, our_nodes, set_attribute
from ort_rrelu.node_attributes import NodeAttributes
from ort_rrelu.tensorflow.conversion import convert
from ort_rrelu.tensorflow.draws import Draw, restored
from ort_rrelu.tensorflow.tracing import traced

# The oldest of a portable model, and tf2onnx's newest.
_OPSET_VERSION = 18
_OPSET_VERSIONS = range(7, max(constants.OPSET_TO_IR_VERSION) + 1)

_log = logging.getLogger(__name__)


def export(
    model_or_function: Any,
    f: str | os.PathLike[str] | BinaryIO | None = None,
    input_signature: Sequence[Any] | None = None,
    *,
    seed: int | None = None,
    training: bool | None = None,
    step_input: StepInput = False,
    portable: bool = True,
    opset_version: int | None = None,
) -> onnx.ModelProto:
    """Export a TensorFlow or Keras model; rrelu in train mode becomes RRelu nodes, in eval mode LeakyRelu.

    tf2onnx converts the model as it is traced, and `ort_rrelu.graph.fuse` finds rrelu in the result: that of
    TensorFlow Addons, and functions that write the same with tf.where and tf.random.uniform. The log has a
    line for each, a warning for each draw that stays, and one for a model without rrelu, which stays as
    tf2onnx writes it, but for the seeds of draws. Each rrelu has its own node and slopes, also where several
    read one tensor, which tf2onnx alone would merge.

    Args:
        model_or_function: a Keras model on TensorFlow, which is called without `training`: in eval mode, but
            for layers that have a mode of their own; a function or tf.function; a traced function; or a
            SavedModel, as its path or what tf.saved_model.load gave: its signature "serving_default", or the
            only one.
        f: where the model goes: a path, written all or nothing, or a binary stream such as io.BytesIO; None
            only returns it.
        input_signature: a list with a tf.TensorSpec for each argument, or lists and dicts of them, as for
            tf.function; all ranks must be known. None where the model knows its inputs: a Keras model that is
            built from inputs, a tf.function with an input_signature, a traced function, a SavedModel.
        seed: 0 .. 2^63 - 1 seeds train node i with ort_rrelu.reference.derive_seed(seed, i), the same slopes
            in every session; None: fresh entropy for each session. A draw's own seed goes first.
        training: None keeps the mode that was traced; True or False sets RRelu nodes, and nothing else.
            A LeakyRelu does not tell its bounds, and stays.
        step_input: add one int64 graph input `step`, the number of the draw, wired to every train node: True
            for a scalar; "rows" for one step for each row, as graph.add_step_input(rows=True) proves it.
        portable: embed the functions with which the model also runs where the library is not registered
            (`ort_rrelu.graph.portable`), in opset 18.
        opset_version: of the standard operators, as tf2onnx writes them, 7 .. 18; None is 18.

    Returns:
        The model, with its weights.

    Raises:
        InvalidValueError (a ValueError), InvalidTypeError (a TypeError): an argument is not allowed, a model
            needs an input_signature, a SavedModel has no signatures, training=True and the trace has no draw
            of rrelu, a draw stays that seed, step_input or training=False does not reach, there is no proof
            for a step for each row of a train node, or opset_version is too old.
        ModelFileError (a FileNotFoundError): there is no such SavedModel.
        ConversionError (a RuntimeError): tf2onnx cannot convert an op, which is named, draws of
            tf.random.Generator and keras.random among them. tf2onnx itself only logs some of these.
        MissingPackageError (an ImportError): TensorFlow, tf2onnx or onnxscript is not installed.
        OSError: f cannot be written.
    """
    check_destination(f)
    check_step_input(step_input)
    check_switch("portable", portable)
    if isinstance(seed, bool):
        raise InvalidTypeError(f"seed={seed!r}: it must be an integer, or None")
    values = NodeAttributes(seed, training)
    opset = as_opset_version(opset_version, _OPSET_VERSION, _OPSET_VERSIONS)
    converted, draws = convert(traced(model_or_function, input_signature), opset)
    findings: list[Finding] = []
    seeds = {number: draw.seed for number, draw in draws.items()}
    model = fuse_numbered(converted, seeds, findings.append)
    nodes = our_nodes(model)
    staying = _with_reasons(restored(model, draws), findings)
    if training and not nodes:
        raise InvalidValueError(f"training=True: {_no_draw(staying)}")
    _refuse_unreached(staying, seed=seed, training=training, step_input=step_input)
    _say(staying, findings)
    _set(nodes, values)
    model = finished(model, step_input=step_input, portable=portable, opset_version=opset_version)
    write_to(f, model)
    return model


@dataclass(frozen=True)
class _Staying:
    """A draw that stays in standard operators, and why."""

    node: str
    draw: Draw
    reason: str


def _with_reasons(left: list[tuple[onnx.NodeProto, Draw]], findings: list[Finding]) -> list[_Staying]:
    reasons = {finding.node: finding.reason for finding in findings if not finding.fused}
    return [
        _Staying(
            name_of(node), draw, reasons.get(name_of(node), f"slopes of rrelu are not of {node.op_type}")
        )
        for node, draw in left
    ]


def _no_draw(staying: list[_Staying]) -> str:
    if staying:
        return f"no rrelu was found; {staying[0].node} draws, and stays: {staying[0].reason}"
    return (
        "the model was traced without a draw of rrelu, and the bounds are lost; trace it in train mode, with "
        "lambda x: model(x, training=True), say, or give the layer a mode of its own"
    )


def _refuse_unreached(
    staying: list[_Staying], *, seed: int | None, training: bool | None, step_input: StepInput
) -> None:
    """Raise InvalidValueError where an argument asks for what a draw that stays would not do."""
    for each in staying:
        if seed is not None and each.draw.seed is None:
            asked, remedy = f"seed={seed}", "give the draw a seed of its own, with seed= of its function"
        elif training is False:
            asked, remedy = "training=False", "trace the model without the draw, in eval mode"
        elif step_input:
            asked, remedy = f"step_input={step_input!r}", "trace the model without the draw"
        else:
            continue
        raise InvalidValueError(
            f"{asked} does not reach {each.draw}, which draws, and is not rrelu: {each.reason}; {remedy}, or "
            f"leave {asked.partition('=')[0]} out"
        )


def _say(staying: list[_Staying], findings: list[Finding]) -> None:
    for each in staying:
        _log.warning("%s draws, and is not rrelu: %s", each.node, each.reason)
    for finding in findings:
        if finding.fused:
            _log.info("%s: %s", finding.node, finding.reason)
    if not any(finding.fused for finding in findings):
        _log.warning("no rrelu was found in the model: it is as tf2onnx wrote it")


def _set(nodes: list[onnx.NodeProto], values: NodeAttributes) -> None:
    """Modes and seeds, in place."""
    for node in nodes:
        own = attributes(node)
        seed = own["seed"] if own["seed"] >= 0 else None
        for name, value in values(own["lower"], own["upper"], True, seed).items():
            if name in {"training", "seed"}:
                set_attribute(node, name, int(value))
