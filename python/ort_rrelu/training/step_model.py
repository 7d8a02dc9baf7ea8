"""The layout of a step model, which export_step writes and Trainer reads, and the models made of it.

The graph is one training step. Its inputs are `x`, `y`, `step` (int64, the number of the step), the
hyperparameters that may change between steps (float64 scalars), and the state: `model/NAME` for parameters
and buffers, `optimizer/NAME/SLOT` for what the optimizer keeps. An initializer of the same name holds the
initial value of a state tensor, or the default of a hyperparameter. Its outputs are `loss`, `finite` (bool:
loss, updated parameters and buffers are) and `next/STATE` for every state tensor that a step changes.

A graph with a step for each sample has the input `sample_steps` too, int64 with a number for each row of x.
What draws reads it, and the optimizer alone reads `step`.

The function `Evaluate` of the model takes the `model/` tensors, x and y, and gives the loss and the output
of the model in eval mode. The metadata property `ort_rrelu.training` is JSON with the names of torch's
state_dict and the optimizer.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

import numpy as np
import onnx
from onnx import numpy_helper

from ort_rrelu.arguments import Array
from ort_rrelu.errors import InvalidValueError
from ort_rrelu.graph.edit import prune

DOMAIN, OPSET = "ort_rrelu.training", 18  # of its functions, and of the standard operators
EVALUATE = "Evaluate"
X, Y, STEP, SAMPLE_STEPS = "x", "y", "step", "sample_steps"
LOSS, FINITE, OUTPUT = "loss", "finite", "output"
_PROPERTY, _VERSION = "ort_rrelu.training", 1
_MODEL, _OPTIMIZER, _NEXT = "model/", "optimizer/", "next/"


def as_state(name: str) -> str:
    """The state tensor of a parameter or buffer."""
    return _MODEL + name


def as_slot(name: str, slot: str) -> str:
    """The state tensor that the optimizer keeps for a parameter."""
    return f"{_OPTIMIZER}{name}/{slot}"


def as_next(state: str) -> str:
    """The output that replaces a state tensor."""
    return _NEXT + state


@dataclass(frozen=True)
class Description:
    """The metadata of a step model.

    state_dict: torch's name of each entry of its state_dict -> the state tensor that holds it.
    """

    optimizer: str
    state_dict: dict[str, str] = field(default_factory=dict)
    version: int = _VERSION


def describe(model: onnx.ModelProto, description: Description) -> None:
    """Write the description into the model."""
    onnx.helper.set_model_props(model, {_PROPERTY: json.dumps(asdict(description))})


@dataclass(frozen=True)
class StepModel:
    """A step model taken apart.

    graph: the model without the initial values. initial: those of the state. defaults: those of the
    hyperparameters. changed: the state tensors that a step changes.
    """

    graph: onnx.ModelProto
    description: Description
    initial: Mapping[str, Array]
    defaults: Mapping[str, float]
    changed: tuple[str, ...]

    @classmethod
    def of(cls, model: onnx.ModelProto) -> StepModel:
        """Take a model apart, which is not changed.

        Raises InvalidValueError when export_step did not write it.
        """
        description = _read_description(model)
        graph = onnx.ModelProto()
        graph.CopyFrom(model)
        inputs = {value.name for value in graph.graph.input}
        values = {t.name: numpy_helper.to_array(t) for t in graph.graph.initializer if t.name in inputs}
        kept = [tensor for tensor in graph.graph.initializer if tensor.name not in inputs]
        del graph.graph.initializer[:]
        graph.graph.initializer.extend(kept)
        initial = {name: v for name, v in values.items() if name.startswith((_MODEL, _OPTIMIZER))}
        defaults = {name: float(v) for name, v in values.items() if name not in initial}
        changed = tuple(o.name.removeprefix(_NEXT) for o in graph.graph.output if o.name.startswith(_NEXT))
        return cls(graph, description, initial, defaults, changed)

    @property
    def by_sample(self) -> bool:
        """Does it take a step for each row of x?"""
        return any(value.name == SAMPLE_STEPS for value in self.graph.graph.input)

    @property
    def model_state(self) -> list[str]:
        """Parameters and buffers, without the optimizer's."""
        return [name for name in self.initial if name.startswith(_MODEL)]

    def identity(self) -> dict[str, str]:
        """What a checkpoint must share with this model to be continued by it."""
        shapes = {name: [str(value.dtype), list(value.shape)] for name, value in self.initial.items()}
        return {
            "optimizer": self.description.optimizer,
            "tensors": json.dumps(shapes, sort_keys=True),
            "graph": hashlib.sha256(self._structure()).hexdigest(),
        }

    def _structure(self) -> bytes:
        """The computation, without what has no influence on its results."""
        bare = onnx.ModelProto()
        bare.graph.node.extend(self.graph.graph.node)
        bare.graph.initializer.extend(self.graph.graph.initializer)
        bare.functions.extend(self.graph.functions)
        bare.opset_import.extend(self.graph.opset_import)
        for node in [*bare.graph.node, *(n for function in bare.functions for n in function.node)]:
            del node.metadata_props[:]
            node.doc_string = ""
        for function in bare.functions:
            del function.metadata_props[:]
        serialized: bytes = bare.SerializeToString(deterministic=True)
        return serialized


def _read_description(model: onnx.ModelProto) -> Description:
    properties = {entry.key: entry.value for entry in model.metadata_props}
    if _PROPERTY not in properties:
        raise InvalidValueError(
            "this model is not a training step: ort_rrelu.training.export_step writes one"
        )
    try:
        fields = json.loads(properties[_PROPERTY])
        description = Description(**fields)
    except (TypeError, ValueError) as error:
        raise InvalidValueError(f"the metadata {_PROPERTY!r} of this model is damaged: {error}") from error
    if description.version != _VERSION:
        raise InvalidValueError(
            f"this training step has layout {description.version}, and this ort_rrelu reads {_VERSION}: "
            "export it again"
        )
    return description


def as_initializer(name: str, value: Array | float) -> onnx.TensorProto:
    """A tensor of that name."""
    return numpy_helper.from_array(np.asarray(value), name)


def evaluation_model(model: onnx.ModelProto) -> onnx.ModelProto:
    """(model state, x, y) -> loss."""
    return _of_function(model, LOSS, {})


def inference_model(model: onnx.ModelProto, weights: Mapping[str, Array]) -> onnx.ModelProto:
    """x -> output; `weights` become initializers, model state that they lack stays an input."""
    return _of_function(model, OUTPUT, weights)


def _of_function(model: onnx.ModelProto, output: str, weights: Mapping[str, Array]) -> onnx.ModelProto:
    """What the function `Evaluate` does for one of its outputs, as a model."""
    function = next(f for f in model.functions if (f.domain, f.name) == (DOMAIN, EVALUATE))
    nodes = [_rows_of_x(node) for node in function.node]
    initializers = [as_initializer(name, value) for name, value in weights.items()]
    kind, given = ("evaluation", {X, Y}) if output == LOSS else ("inference", {X})
    graph = onnx.helper.make_graph(nodes, kind, [], [onnx.ValueInfoProto(name=output)], initializers)
    prune(graph, {*weights, *(name for node in nodes for name in node.output)})
    asked = given | ({name for node in graph.node for name in node.input} - weights.keys())
    values = {value.name: value for value in model.graph.input}
    graph.input.extend(values[name] for name in function.input if name in asked)
    evaluating = onnx.helper.make_model(
        graph, opset_imports=list(function.opset_import), ir_version=model.ir_version
    )
    inferred = onnx.shape_inference.infer_shapes(evaluating)
    del evaluating.graph.output[:]
    evaluating.graph.output.extend(inferred.graph.output)
    return evaluating


def _rows_of_x(node: onnx.NodeProto) -> onnx.NodeProto:
    """x and y have as many rows, and the exporter likes to ask y, which inference does not have."""
    places = {a.name: a.i for a in node.attribute}
    if node.op_type != "Shape" or list(node.input) != [Y] or places != {"start": 0, "end": 1}:
        return node
    asking = onnx.NodeProto()
    asking.CopyFrom(node)
    asking.input[:] = [X]
    return asking
