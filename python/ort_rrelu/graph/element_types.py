"""The types of a model's values, as far as shape inference knows them."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Callable, Iterator, Mapping
from typing import TypeVar

import onnx

from ort_rrelu.graph.nodes import subgraphs
from ort_rrelu.graph.onnx_tools import inferred

__all__ = ["ElementTypes", "Values", "graphs_with_types", "graphs_with_values"]

ElementTypes = Mapping[str, int]  # name -> onnx.TensorProto.DataType
Values = Mapping[str, onnx.ValueInfoProto]
_Fact = TypeVar("_Fact")


def graphs_with_types(model: onnx.ModelProto) -> list[tuple[onnx.GraphProto, ElementTypes]]:
    """The model's graph and the bodies in it, each before the one around it, with the types seen from there.

    Values are missing that shape inference cannot follow, such as those behind an op of another domain.

    Raises InvalidValueError when onnx cannot read the model.
    """
    return list(_walk(model.graph, inferred(model).graph, ChainMap(), _types))


def graphs_with_values(model: onnx.ModelProto) -> list[tuple[onnx.GraphProto, Values]]:
    """The same with what is known of each value, its shape too."""
    return list(_walk(model.graph, inferred(model).graph, ChainMap(), _values))


def _walk(
    graph: onnx.GraphProto,
    twin: onnx.GraphProto,
    outer: ChainMap[str, _Fact],
    facts_of: Callable[[onnx.GraphProto], dict[str, _Fact]],
) -> Iterator[tuple[onnx.GraphProto, Mapping[str, _Fact]]]:
    facts = ChainMap(facts_of(twin), *outer.maps)
    for node, its_twin in zip(graph.node, twin.node, strict=True):
        for body, inner in zip(subgraphs(node), subgraphs(its_twin), strict=True):
            yield from _walk(body, inner, facts, facts_of)
    yield graph, facts


def _types(graph: onnx.GraphProto) -> dict[str, int]:
    values = (*graph.input, *graph.value_info, *graph.output)
    known = {value.name: value.type.tensor_type.elem_type for value in values}
    known |= {tensor.name: tensor.data_type for tensor in graph.initializer}
    return {name: kind for name, kind in known.items() if kind}


def _values(graph: onnx.GraphProto) -> dict[str, onnx.ValueInfoProto]:
    known = {value.name: value for value in (*graph.input, *graph.value_info, *graph.output)}
    tensors = {
        tensor.name: onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
        for tensor in graph.initializer
    }
    return known | tensors
