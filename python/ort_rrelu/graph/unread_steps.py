"""Inputs and nodes that were there for the step of RRelu nodes alone, removed where these nodes are gone.

Steps that nodes have only to fit a function (see conform.py), taken away again.
"""

from __future__ import annotations

from dataclasses import dataclass

import onnx

from ort_rrelu.graph.edit import remove_at, remove_unread
from ort_rrelu.graph.nodes import all_nodes, graph_nodes, our_nodes, step_of, subgraphs
from ort_rrelu.graph.step_input import adds_iteration, step_inputs

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


@dataclass(frozen=True)
class StepValues:
    """Names of values that serve as steps.

    Args:
        steps: what RRelu nodes read.
        inputs: the inputs of the model among these, and those that a loop adds an iteration to.
        counters: what these loops multiply to get that offset.
    """

    steps: frozenset[str]
    inputs: frozenset[str]
    counters: frozenset[str]


def step_values(model: onnx.ModelProto) -> StepValues:
    """Those of a model whose RRelu nodes are in its graph and bodies, none in a function."""
    steps = frozenset(filter(None, map(step_of, our_nodes(model))))
    offsets = {
        node.input[1] for node in graph_nodes(model.graph) if adds_iteration(node, steps) and node.input[1:]
    }
    counters = {
        node.input[0]
        for node in graph_nodes(model.graph)
        if node.op_type == "Mul" and not node.domain and offsets.intersection(node.output)
    }
    return StepValues(steps, frozenset(step_inputs(model)), frozenset(counters))


def remove_unread_steps(model: onnx.ModelProto, was: StepValues) -> None:
    """Remove, in place, what nothing reads any more of `was`, and what only served to compute it.

    An input goes if it is int64, as a step is; one that was never read as a step stays.
    """
    _prune(model.graph, was)
    idle = was.inputs - _read(model.graph)
    graph = model.graph
    gone = {v.name for v in graph.input if v.name in idle and _is_int64(v)}
    for values in (graph.input, graph.initializer):  # an initializer may be an input's default
        kept = [value for value in values if value.name not in gone]
        del values[:]
        values.extend(kept)


def _is_int64(value: onnx.ValueInfoProto) -> bool:
    return bool(value.type.tensor_type.elem_type == onnx.TensorProto.INT64)


def _prune(graph: onnx.GraphProto, was: StepValues) -> None:
    """The bodies first: they read values of the graph around them."""
    for node in graph.node:
        for body in subgraphs(node):
            _prune(body, was)
    remove_unread(graph, set(was.steps))
    if was.counters:
        for node in [node for node in graph.node if node.op_type == "Scan"]:
            _remove_counters(graph, node, was.counters)


def _remove_counters(graph: onnx.GraphProto, scan: onnx.NodeProto, counters: frozenset[str]) -> None:
    """Take the state variables from a Scan that only count its iterations."""
    (body,) = subgraphs(scan)
    places = (place for place, value in enumerate(body.input) if value.name in counters)
    for place in reversed([place for place in places if _only_counts(graph, scan, body, place)]):
        first, following = scan.input[place], body.output[place].name
        for values in (scan.input, scan.output, body.input, body.output):
            del values[place]
        remove_unread(body, {following})
        remove_unread(graph, {first})


def _only_counts(graph: onnx.GraphProto, scan: onnx.NodeProto, body: onnx.GraphProto, place: int) -> bool:
    """Is a state variable read by nothing but the Add that computes its next value?"""
    now, following = body.input[place].name, body.output[place].name
    outputs = [value.name for value in body.output]
    reads = [name for node in graph_nodes(body) for name in node.input]
    return (
        [(node.op_type, list(node.output)) for node in body.node if now in node.input]
        == [("Add", [following])]
        and reads.count(now) == 1
        and now not in outputs
        and following not in reads
        and outputs.count(following) == 1
        and scan.output[place] not in _read(graph)
    )


def _read(graph: onnx.GraphProto) -> set[str]:
    """What its nodes read, those of bodies too, and what is an output of one of these graphs."""
    nodes = list(graph_nodes(graph))
    graphs = [graph, *(body for node in nodes for body in subgraphs(node))]
    outputs = {value.name for each in graphs for value in each.output}
    return outputs | {name for node in nodes for name in node.input}
