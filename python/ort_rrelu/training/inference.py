"""Models for evaluation and inference, made of a step model's function `Evaluate`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import onnx

from ort_rrelu.arguments import Array
from ort_rrelu.training.step_model import DOMAIN, EVALUATE, LOSS, OUTPUT, X, Y, as_initializer

__all__ = ["evaluation_model", "inference_model"]


def evaluation_model(step: onnx.ModelProto) -> onnx.ModelProto:
    """(model state, x, y) -> loss."""
    return _model(step, [LOSS], {})


def inference_model(step: onnx.ModelProto, weights: Mapping[str, Array]) -> onnx.ModelProto:
    """x -> output; `weights` become initializers, model state that they lack stays an input."""
    return _model(step, [OUTPUT], weights)


def _model(step: onnx.ModelProto, outputs: Sequence[str], weights: Mapping[str, Array]) -> onnx.ModelProto:
    function = next(f for f in step.functions if (f.domain, f.name) == (DOMAIN, EVALUATE))
    nodes = [_rows_of_x(node) for node in function.node]
    nodes = _needed(nodes, outputs)
    read = {name for node in nodes for name in node.input}
    values = {value.name: value for value in step.graph.input}
    graph = onnx.helper.make_graph(
        nodes,
        "evaluation" if LOSS in outputs else "inference",
        [values[n] for n in function.input if n not in weights and (n in read or n in {X, Y})],
        [onnx.ValueInfoProto(name=name) for name in outputs],
        [as_initializer(name, value) for name, value in weights.items() if name in read],
    )
    if LOSS not in outputs:
        del graph.input[[value.name for value in graph.input].index(Y)]
    model = onnx.helper.make_model(
        graph, opset_imports=list(function.opset_import), ir_version=step.ir_version
    )
    inferred = onnx.shape_inference.infer_shapes(model)
    for value, output in zip(graph.output, inferred.graph.output, strict=True):
        value.CopyFrom(output)
    del model.graph.output[:]
    model.graph.output.extend(inferred.graph.output)
    return model


def _rows_of_x(node: onnx.NodeProto) -> onnx.NodeProto:
    """x and y have as many rows, and the exporter likes to ask y, which inference does not have."""
    places = {a.name: a.i for a in node.attribute}
    if node.op_type != "Shape" or list(node.input) != [Y] or places != {"start": 0, "end": 1}:
        return node
    asking = onnx.NodeProto()
    asking.CopyFrom(node)
    asking.input[:] = [X]
    return asking


def _needed(nodes: list[onnx.NodeProto], outputs: Sequence[str]) -> list[onnx.NodeProto]:
    """Those that the outputs depend on, in order."""
    wanted, kept = set(outputs), []
    for node in reversed(nodes):
        if not wanted.isdisjoint(node.output):
            wanted |= set(node.input)
            kept.append(node)
    return kept[::-1]
