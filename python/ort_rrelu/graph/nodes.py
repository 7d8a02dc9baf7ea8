"""The nodes of a model, in graphs, bodies of control flow and functions, and what they say."""

from __future__ import annotations

from collections.abc import Iterator

import onnx

from ort_rrelu import schema

__all__ = [
    "RANDOM_OPS",
    "all_nodes",
    "function_nodes",
    "graph_nodes",
    "is_rrelu",
    "label",
    "our_nodes",
    "set_attribute",
    "step_of",
    "subgraphs",
]

# ONNX's operators that draw: a session keeps their state to itself.
RANDOM_OPS = frozenset(
    {
        "Bernoulli",
        "Multinomial",
        "RandomNormal",
        "RandomNormalLike",
        "RandomUniform",
        "RandomUniformLike",
    }
)


def subgraphs(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    """The bodies of a control-flow node, but those that are attributes of the function that it is in."""
    for attribute in node.attribute:
        if attribute.ref_attr_name:
            continue
        if attribute.type == onnx.AttributeProto.GRAPH:
            yield attribute.g
        elif attribute.type == onnx.AttributeProto.GRAPHS:
            yield from attribute.graphs


def _with_bodies(nodes: list[onnx.NodeProto]) -> Iterator[onnx.NodeProto]:
    for node in nodes:
        yield node
        for graph in subgraphs(node):
            yield from graph_nodes(graph)


def graph_nodes(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    """Every node of a graph and of the bodies in it, in order."""
    return _with_bodies(list(graph.node))


def function_nodes(function: onnx.FunctionProto) -> Iterator[onnx.NodeProto]:
    """Every node of a function and of the bodies in it, in order."""
    return _with_bodies(list(function.node))


def all_nodes(model: onnx.ModelProto) -> Iterator[onnx.NodeProto]:
    """Every node of a model, those of its functions last."""
    yield from graph_nodes(model.graph)
    for function in model.functions:
        yield from function_nodes(function)


def is_rrelu(node: onnx.NodeProto) -> bool:
    """Is it a node of ours, and not its gradient?"""
    return bool(node.domain == schema.DOMAIN and node.op_type == schema.RRELU)


def our_nodes(model: onnx.ModelProto, op_type: str = schema.RRELU) -> list[onnx.NodeProto]:
    """The nodes of one of our ops."""
    return [n for n in all_nodes(model) if n.domain == schema.DOMAIN and n.op_type == op_type]


def step_of(node: onnx.NodeProto) -> str:
    """The name of an RRelu node's step, empty when it has none."""
    return str(node.input[1]) if len(node.input) > 1 else ""


def label(node: onnx.NodeProto) -> str:
    """How messages call a node; the kernels' messages call it the same."""
    op = f"{node.domain}:{node.op_type}" if node.domain else node.op_type
    if node.name:
        return f'{op} node "{node.name}"'
    return f'{op} node with output "{node.output[0] if node.output else ""}"'


def set_attribute(node: onnx.NodeProto, name: str, value: int) -> None:
    """Set an attribute, in place, also one that is absent or refers to a function's."""
    place = next((attribute for attribute in node.attribute if attribute.name == name), None)
    (node.attribute.add() if place is None else place).CopyFrom(onnx.helper.make_attribute(name, value))
