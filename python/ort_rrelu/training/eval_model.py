"""The eval model of onnxruntime-training's artifacts, made deterministic and free of custom ops."""

from __future__ import annotations

import onnx
from onnx import helper

from ort_rrelu import schema
from ort_rrelu.graph.check import attributes
from ort_rrelu.graph.nodes import all_nodes, our_nodes, step_of
from ort_rrelu.graph.unused_outputs import remove_unused_outputs

__all__ = ["deterministic"]


def deterministic(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy in which every RRelu node has the mean slope, in standard operators.

    onnxruntime-training knows only Dropout and BatchNormalization to have an eval mode, and its
    export_model_for_inferencing reads no model with custom ops. The steps that only those nodes read are no
    inputs any more.
    """
    plain = onnx.ModelProto()
    plain.CopyFrom(model)
    nodes = our_nodes(plain)
    steps = {step_of(node) for node in nodes}
    remove_unused_outputs(plain)
    for node in nodes:
        slope = (attributes(node)["lower"] + attributes(node)["upper"]) / 2
        node.op_type, node.domain = "LeakyRelu", ""
        del node.attribute[:], node.input[1:]
        node.attribute.append(helper.make_attribute("alpha", slope))
    others = [entry for entry in plain.opset_import if entry.domain != schema.DOMAIN]
    del plain.opset_import[:]
    plain.opset_import.extend(others)
    _drop_unread_inputs(plain, steps)
    return plain


def _drop_unread_inputs(model: onnx.ModelProto, names: set[str]) -> None:
    read = {name for node in all_nodes(model) for name in node.input}
    read |= {output.name for output in model.graph.output}
    kept = [value for value in model.graph.input if value.name in read or value.name not in names]
    del model.graph.input[:]
    model.graph.input.extend(kept)
