"""Steps that nodes have only to fit a function (see conform.py), taken away again."""

from __future__ import annotations

import onnx

from ort_rrelu.graph.edit import remove_at
from ort_rrelu.graph.nodes import all_nodes, graph_nodes, step_of, subgraphs

__all__ = ["remove_spare_steps"]

_LOOPS = {"Loop", "Scan"}


def remove_spare_steps(model: onnx.ModelProto, nodes: list[onnx.NodeProto]) -> bool:
    """Take, in place, from those of `nodes` the step that would draw the same slopes again; were there any?

    That is a constant, or in a loop an input of the model. The constants go too where nothing reads them.
    """
    constants = {tensor.name for tensor in model.graph.initializer}
    constants |= {node.output[0] for node in all_nodes(model) if node.op_type == "Constant"}
    inputs = {value.name for value in model.graph.input}
    in_loops = {
        each.output[0]
        for node in graph_nodes(model.graph)
        if node.op_type in _LOOPS
        for body in subgraphs(node)
        for each in graph_nodes(body)
    }
    spare = [
        n for n in nodes if step_of(n) in constants or (n.output[0] in in_loops and step_of(n) in inputs)
    ]
    removed = {step_of(node) for node in spare} & constants
    for node in spare:
        del node.input[1:]
    _remove_unread_constants(model, removed)
    return bool(spare)


def _remove_unread_constants(model: onnx.ModelProto, names: set[str]) -> None:
    """Remove, in place, those initializers and Constant nodes of these names that nothing reads."""
    nodes = list(all_nodes(model))
    graphs = [model.graph, *(body for node in nodes for body in subgraphs(node))]
    read = {name for node in nodes for name in node.input}
    read |= {value.name for graph in graphs for value in graph.output}
    read |= {name for function in model.functions for name in function.output}
    unread = names - read
    initializers = model.graph.initializer
    remove_at(initializers, [i for i, tensor in enumerate(initializers) if tensor.name in unread])
    for part in (model.graph, *model.functions):
        constants = [i for i, n in enumerate(part.node) if n.op_type == "Constant" and n.output[0] in unread]
        remove_at(part.node, constants)
