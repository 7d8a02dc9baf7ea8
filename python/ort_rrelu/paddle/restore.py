"""What Paddle2ONNX wrote becomes what we export: RRelu nodes for markers, and an orderly graph.

Not in order are weights in Constant nodes, chains of Identity nodes, and a new name for each open dimension.
"""

from __future__ import annotations

import logging
from collections import Counter

import onnx
import onnx_ir
from onnx import helper
from onnx_ir.passes import common

from ort_rrelu import schema
from ort_rrelu.errors import ConversionError
from ort_rrelu.exporting import BATCH, quiet
from ort_rrelu.graph.nodes import graph_nodes, subgraphs
from ort_rrelu.node_attributes import NodeAttributes
from ort_rrelu.paddle.document import Mark


def restore(model: onnx.ModelProto, marks: dict[float, Mark], attributes: NodeAttributes) -> None:
    """Put RRelu nodes, in place, where the markers are; each is named after the layers around it.

    Raises ConversionError unless every marker is there exactly once, with no other node in between.
    """
    found = [(node, alpha) for node in graph_nodes(model.graph) if (alpha := _alpha(node)) in marks]
    counts = Counter(alpha for _, alpha in found)
    wrong = [mark for alpha, mark in marks.items() if counts[alpha] != 1]
    if wrong:
        raise ConversionError(
            f"{len(marks)} rrelu in the Paddle program gave {len(found)} nodes: Paddle2ONNX dropped or "
            f"copied those in {sorted({mark.tags.scope for mark in wrong})}"
        )
    names = _Names(model)
    for node, alpha in found:
        mark = marks[alpha]
        values = attributes(mark.lower, mark.upper, bool(mark.tags.training), mark.tags.seed)
        node.op_type, node.domain = schema.RRELU, schema.DOMAIN
        node.name = names.take(mark.tags.scope)
        del node.attribute[:]
        node.attribute.extend(helper.make_attribute(name, value) for name, value in values.items())
    if found:
        model.opset_import.append(schema.opset_import())


def _alpha(node: onnx.NodeProto) -> float:
    if node.op_type != "Elu":
        return 0.0
    return next((attribute.f for attribute in node.attribute if attribute.name == "alpha"), 1.0)


class _Names:
    """Node names that are free in a model."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self._taken = {node.name for node in graph_nodes(model.graph)}

    def take(self, scope: str) -> str:
        """`scope` + "/RReLU", or with a number at its end; an RReLU layer ends its scope so already."""
        base = scope if scope.endswith("RReLU") else f"{scope}/rrelu".lstrip("/")
        name, number = base, 1
        while name in self._taken:
            name, number = f"{base}_{number}", number + 1
        self._taken.add(name)
        return name


def tidy(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with weights as initializers, without needless nodes, its dimensions named.

    A dynamic dimension has one name wherever shape inference finds it to be the same: "batch" for the first
    dimension of a lone input, the input's name and the axis for any other. One that cannot be followed to an
    input has no name.
    """
    passes = onnx_ir.passes.Sequential(
        common.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0),
        common.IdentityEliminationPass(),
        common.RemoveUnusedNodesPass(),
    )
    # They log at INFO, which is shown: importing Paddle configures the root logger so.
    logger = logging.getLogger(onnx_ir.__name__)
    with quiet(logger, logger.level or logging.WARNING):  # unless somebody asked for a level
        tidied = passes(onnx_ir.from_proto(model)).model
    _name_outputs(tidied)
    proto = onnx_ir.to_proto(tidied)
    _name_dimensions(proto)
    return proto


def _name_outputs(model: onnx_ir.Model) -> None:
    """Paddle2ONNX named the outputs of our nodes after the markers that it converted."""
    for node in model.graph.all_nodes():
        if node.domain == schema.DOMAIN and not node.outputs[0].is_graph_output():
            node.outputs[0].name = f"{node.name}/y"


def _name_dimensions(model: onnx.ModelProto) -> None:
    graph = model.graph
    batches = sum(bool(_dimensions(value)) and _is_open(_dimensions(value)[0]) for value in graph.input)
    for value in graph.input:
        for axis, dimension in enumerate(_dimensions(value)):
            if _is_open(dimension):
                named_batch = axis == 0 and batches == 1
                dimension.dim_param = BATCH if named_batch else f"{value.name}_{axis}"
    known = {dimension.dim_param for value in graph.input for dimension in _dimensions(value)}
    _forget(graph, inputs=False)
    for node in graph_nodes(graph):
        for body in subgraphs(node):
            _forget(body, inputs=True)
    inferred = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    for value, found in zip(graph.output, inferred.output, strict=True):
        for dimension, seen in zip(_dimensions(value), _dimensions(found), strict=False):
            if seen.dim_param in known:
                dimension.CopyFrom(seen)


def _forget(graph: onnx.GraphProto, *, inputs: bool) -> None:
    """Drop the names that Paddle2ONNX gave to dimensions: each a new one, wherever it stands."""
    del graph.value_info[:]
    for value in (*(graph.input if inputs else ()), *graph.output):
        for dimension in _dimensions(value):
            if _is_open(dimension):
                dimension.Clear()


def _dimensions(value: onnx.ValueInfoProto) -> list[onnx.TensorShapeProto.Dimension]:
    return list(value.type.tensor_type.shape.dim)


def _is_open(dimension: onnx.TensorShapeProto.Dimension) -> bool:
    return not dimension.HasField("dim_value") or dimension.dim_value < 0
