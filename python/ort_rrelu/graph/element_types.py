"""The element types of a model's values, as far as shape inference knows them."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Iterator, Mapping

import onnx

from ort_rrelu.graph.nodes import subgraphs
from ort_rrelu.graph.onnx_tools import inferred

__all__ = ["ElementTypes", "graphs_with_types"]

ElementTypes = Mapping[str, int]  # name -> onnx.TensorProto.DataType


def graphs_with_types(model: onnx.ModelProto) -> list[tuple[onnx.GraphProto, ElementTypes]]:
    """The model's graph and the bodies in it, each before the one around it, with the types seen from there.

    Values are missing that shape inference cannot follow, such as those behind an op of another domain.

    Raises InvalidValueError when onnx cannot read the model.
    """
    return list(_walk(model.graph, inferred(model).graph, ChainMap()))


def _walk(
    graph: onnx.GraphProto, twin: onnx.GraphProto, outer: ChainMap[str, int]
) -> Iterator[tuple[onnx.GraphProto, ElementTypes]]:
    types = ChainMap(_types(twin), *outer.maps)
    for node, its_twin in zip(graph.node, twin.node, strict=True):
        for body, inner in zip(subgraphs(node), subgraphs(its_twin), strict=True):
            yield from _walk(body, inner, types)
    yield graph, types


def _types(graph: onnx.GraphProto) -> dict[str, int]:
    values = (*graph.input, *graph.value_info, *graph.output)
    known = {value.name: value.type.tensor_type.elem_type for value in values}
    known |= {tensor.name: tensor.data_type for tensor in graph.initializer}
    return {name: kind for name, kind in known.items() if kind}
