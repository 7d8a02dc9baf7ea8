"""The eval model of onnxruntime-training's artifacts, made deterministic and free of custom ops."""

from __future__ import annotations

import onnx
from onnx import helper

from ort_rrelu import graph
from ort_rrelu.graph.nodes import all_nodes, our_nodes, step_of

__all__ = ["deterministic"]

_TRAINING = "training"


def deterministic(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy in which every RRelu node has the mean slope, in standard operators.

    onnxruntime-training knows only Dropout and BatchNormalization to have an eval mode, and its
    export_model_for_inferencing reads no model with custom ops. The steps that only those nodes read are no
    inputs any more.
    """
    evaluating = onnx.ModelProto()
    evaluating.CopyFrom(model)
    nodes = our_nodes(evaluating)
    steps = {step_of(node) for node in nodes}
    for node in nodes:
        others = [attribute for attribute in node.attribute if attribute.name != _TRAINING]
        del node.attribute[:]
        node.attribute.extend([*others, helper.make_attribute(_TRAINING, 0)])
    lowered = graph.lower(evaluating)
    _drop_unread_inputs(lowered, steps)
    return lowered


def _drop_unread_inputs(model: onnx.ModelProto, names: set[str]) -> None:
    read = {name for node in all_nodes(model) for name in node.input}
    read |= {output.name for output in model.graph.output}
    kept = [value for value in model.graph.input if value.name in read or value.name not in names]
    del model.graph.input[:]
    model.graph.input.extend(kept)
