"""Markers in the converted graph -> RRelu nodes, each marker exactly once."""

from __future__ import annotations

from collections import Counter

import onnx
from onnx import helper

from ort_rrelu import schema
from ort_rrelu.errors import ConversionError
from ort_rrelu.graph.nodes import graph_nodes
from ort_rrelu.node_attributes import NodeAttributes
from ort_rrelu.paddle.markers import Mark

__all__ = ["restore"]


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
