"""tf2onnx on a traced function: what it only logs, or would leave in the model, is an error here."""

from __future__ import annotations

import copy
import logging
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import onnx
from tf2onnx.convert import from_function

from ort_rrelu.errors import ConversionError
from ort_rrelu.graph.nodes import all_nodes, is_standard
from ort_rrelu.graph.opset import opset_of
from ort_rrelu.tensorflow.draws import Draw, Draws
from ort_rrelu.tensorflow.needed import all_nodes as nodes_of_trace
from ort_rrelu.tensorflow.needed import needed_nodes
from ort_rrelu.tensorflow.tracing import Traced

# Stateless draws have a key as an input, and tf2onnx has no operator for them. Where it stands in a variable,
# as in Keras, it would freeze at its value of now. tf.random.Generator keeps its key in a variable, too.
_KINDS = r"(Parameterized|Random(?!Get)|Uniform|StandardNormal|TruncatedNormal|Multinomial|Shuffle)\w*"
_KEYED_DRAW, _GENERATOR = re.compile(f"Stateless{_KINDS}"), re.compile(rf"Rng\w+|Stateful{_KINDS}")
# Of constant shape, tf2onnx makes a constant of it.
_OTHER_DRAW = re.compile(r"(Parameterized)?TruncatedNormal|Random(Gamma|Poisson)\w*|NonDeterministicInts")
_PYTHON = re.compile(r"(Eager)?PyFunc(Stateless)?")
_REMEDY = (
    "draw slopes with tf.random.uniform(tf.shape(x), lower, upper, x.dtype), which it has; layers such as "
    "Dropout draw in train mode only"
)
# tf2onnx keeps its functions for the whole process.
_one_at_a_time = threading.Lock()


def convert(traced: Traced, opset: int) -> tuple[onnx.ModelProto, dict[int, Draw]]:
    """The ONNX model of a traced function, in which the seed of each draw is a number, and what these are.

    Raises ConversionError that names the node at fault.
    """
    _refuse_ops(traced.function)
    draws = Draws()
    model: onnx.ModelProto
    with _one_at_a_time, _said() as said:
        try:
            model, _ = from_function(
                _Given(traced.function), input_signature=[], opset=opset, custom_rewriter=[draws.number]
            )
        except Exception as error:
            raise ConversionError(
                f"tf2onnx cannot convert the model: {type(error).__name__}: {error}"
            ) from error
    if left := list(_left(model)):
        raise ConversionError(f"tf2onnx has no operator for {'; '.join(left)}")
    if said:
        raise ConversionError(f"tf2onnx went on after an error: {said[0]}")
    _refuse_changed_draws(traced.function, draws)
    _order_outputs(model.graph, traced.outputs)
    return model, draws.numbered_in(model)


class _Given:
    """A function that is traced, which tf2onnx asks for its trace, and for the inputs of that.

    Those that hold what the function captures are none: tf2onnx would make inputs of constants.
    """

    def __init__(self, function: Any) -> None:
        self._function = function
        captured = {id(inside) for _, inside in function.graph.captures}
        self.inputs = [tensor for tensor in function.inputs if id(tensor) not in captured]

    def get_concrete_function(self) -> Any:
        return self

    def __getattr__(self, name: str) -> Any:
        return getattr(self._function, name)


def _refuse_ops(function: Any) -> None:
    """Raise ConversionError if an output needs what tf2onnx would freeze, or what XLA compiles.

    A generator is refused also where no output needs it, for tf2onnx fails at its state.
    """
    needed = list(needed_nodes(function))
    for nodes, ops, kind in (
        (nodes_of_trace(function), _GENERATOR, "tf.random.Generator"),
        (needed, _KEYED_DRAW, "keras.random or tf.random.stateless_*"),
        (needed, _OTHER_DRAW, "that distribution"),
    ):
        for node in nodes:
            if ops.fullmatch(node.op):
                raise ConversionError(f"{_named(node)}: tf2onnx has no draw of {kind}: {_REMEDY}")
    for node in needed:
        if _PYTHON.fullmatch(node.op):
            raise ConversionError(
                f"{_named(node)}: tf2onnx has no operator for Python's functions, and makes constants of "
                "what they return where their inputs are constants: write it with TensorFlow's ops"
            )
        if node.attr["_XlaMustCompile"].b:
            raise ConversionError(
                f"{_named(node)}: tf2onnx has no operator for functions of jit_compile=True: trace the model "
                "without that"
            )


def _refuse_changed_draws(function: Any, draws: Draws) -> None:
    needed = list(needed_nodes(function))
    if frozen := draws.frozen(needed):
        raise ConversionError(
            f"{_named(frozen)}: tf2onnx makes a constant of the draw, as its logits are constant: compute "
            "them from an input"
        )
    if unseeded := draws.without_seed(needed):
        raise ConversionError(
            f"{_named(unseeded)}: tf2onnx drops its seed, as it knows its sum from TensorFlow 1 (Add instead "
            "of AddV2): draw with tf.random.uniform(shape, lower, upper, seed=), or without a seed"
        )


def _named(node: Any) -> str:
    return f'TensorFlow op {node.op} "{node.name}"'


@contextmanager
def _said() -> Iterator[list[str]]:
    """What tf2onnx logs of nodes and patterns that it failed on, and left as they were."""
    said: list[str] = []
    handler = _Failures(said)
    logger = logging.getLogger("tf2onnx")
    logger.addHandler(handler)
    try:
        yield said
    finally:
        logger.removeHandler(handler)


class _Failures(logging.Handler):
    def __init__(self, said: list[str]) -> None:
        super().__init__(logging.ERROR)
        self._said = said

    def emit(self, record: logging.LogRecord) -> None:
        message = record.getMessage()
        if message.startswith(("Failed to convert node", "rewriter ")):
            cause = record.exc_info[1] if record.exc_info else None
            self._said.append(message.partition("\n")[0] + (f": {cause}" if cause else ""))


def _left(model: onnx.ModelProto) -> Iterator[str]:
    """Nodes that are still TensorFlow's."""
    opset = opset_of(model) or onnx.defs.onnx_opset_version()
    for node in all_nodes(model):
        if is_standard(node.domain) and not onnx.defs.has(node.op_type, opset, ""):
            yield f'TensorFlow op {node.op_type} "{node.name}"'


def _order_outputs(graph: onnx.GraphProto, names: tuple[str, ...]) -> None:
    """tf2onnx has them in the order of their names, if they have names."""
    outputs = {value.name: copy.copy(value) for value in graph.output}
    if set(names) != outputs.keys():
        return
    ordered = [outputs[name] for name in names]
    del graph.output[:]
    graph.output.extend(ordered)
