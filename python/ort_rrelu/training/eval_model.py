"""The eval model of onnxruntime-training's artifacts, made deterministic and free of custom ops."""

from __future__ import annotations

import onnx

from ort_rrelu import graph
from ort_rrelu.graph.nodes import all_nodes, our_nodes, step_of

__all__ = ["deterministic"]


def deterministic(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy in which every RRelu node has the mean slope, in standard operators.

    onnxruntime-training knows only Dropout and BatchNormalization to have an eval mode, and its
    export_model_for_inferencing reads no model with custom ops. The steps that only those nodes read are no
    inputs any more.
    """
    steps = {step_of(node) for node in our_nodes(model)}
    lowered = graph.lower(graph.set_training(model, False))
    _drop_unread_inputs(lowered, steps)
    return lowered


def _drop_unread_inputs(model: onnx.ModelProto, names: set[str]) -> None:
    read = {name for node in all_nodes(model) for name in node.input}
    read |= {output.name for output in model.graph.output}
    kept = [value for value in model.graph.input if value.name in read or value.name not in names]
    del model.graph.input[:]
    model.graph.input.extend(kept)
