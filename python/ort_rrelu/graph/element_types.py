"""The types of a model's values, as far as shape inference knows them."""

from __future__ import annotations

from collections.abc import Iterator

import onnx

from ort_rrelu.graph.nodes import subgraphs
from ort_rrelu.graph.weights import return_weights, take_weights

__all__ = ["ElementTypes", "Values", "graphs_with_types", "graphs_with_values"]

ElementTypes = dict[str, int]  # name -> onnx.TensorProto.DataType
Values = dict[str, onnx.ValueInfoProto]


def graphs_with_types(model: onnx.ModelProto) -> list[tuple[onnx.GraphProto, ElementTypes]]:
    """The model's graph and the bodies in it, each before the one around it, with the types seen from there.

    Values are missing that shape inference cannot follow, such as those behind an op of another domain.
    """
    return [(graph, _element_types(values)) for graph, values in graphs_with_values(model)]


def graphs_with_values(model: onnx.ModelProto) -> list[tuple[onnx.GraphProto, Values]]:
    """The same with what is known of each value, its shape too."""
    weights = take_weights(model)
    try:
        inferred = onnx.shape_inference.infer_shapes(model)
    finally:
        return_weights(model, weights)
    return list(_walk(model.graph, inferred.graph, {}))


def _walk(
    graph: onnx.GraphProto, inferred: onnx.GraphProto, outer: Values
) -> Iterator[tuple[onnx.GraphProto, Values]]:
    values = outer | _values(inferred)
    for node, twin in zip(graph.node, inferred.node, strict=True):
        for body, its_twin in zip(subgraphs(node), subgraphs(twin), strict=True):
            yield from _walk(body, its_twin, values)
    yield graph, values


def _values(graph: onnx.GraphProto) -> Values:
    known = {value.name: value for value in (*graph.input, *graph.value_info, *graph.output)}
    tensors = {
        tensor.name: onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
        for tensor in graph.initializer
    }
    return known | tensors


def _element_types(values: Values) -> ElementTypes:
    known = {name: value.type.tensor_type.elem_type for name, value in values.items()}
    return {name: kind for name, kind in known.items() if kind}
