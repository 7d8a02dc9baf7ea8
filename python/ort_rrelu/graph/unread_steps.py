"""Steps that are not needed any more, removed with the inputs and nodes that only they had.

They are those of nodes that are gone, and those that nodes had only to fit a function (see embedding.py).
"""

from __future__ import annotations

from dataclasses import dataclass

import onnx

from ort_rrelu.graph.edit import prune
from ort_rrelu.graph.nodes import (
    LOOPS,
    all_nodes,
    graph_nodes,
    is_standard_op,
    our_nodes,
    reads,
    step_of,
    subgraphs,
)
from ort_rrelu.graph.step_input import adds_iteration, step_inputs


def remove_spare_steps(model: onnx.ModelProto, nodes: list[onnx.NodeProto]) -> bool:
    """Take, in place, from those of `nodes` the step that would draw the same slopes again; were there any?

    That is a constant, or in a loop an input of the model. The constants go too where nothing reads them.
    """
    constants = {tensor.name for tensor in model.graph.initializer}
    constants |= {node.output[0] for node in all_nodes(model) if is_standard_op(node, "Constant")}
    inputs = {value.name for value in model.graph.input}
    in_loops = {
        each.output[0]
        for node in graph_nodes(model.graph)
        if is_standard_op(node, *LOOPS)
        for body in subgraphs(node)
        for each in graph_nodes(body)
    }
    spare = [
        n for n in nodes if step_of(n) in constants or (n.output[0] in in_loops and step_of(n) in inputs)
    ]
    removed = {step_of(node) for node in spare} & constants
    for node in spare:
        del node.input[1:]
    for container in (model.graph, *model.functions):
        prune(container, removed)
    return bool(spare)


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
    _remove_steps(model.graph, was)
    idle = was.inputs - set(reads(model.graph))
    graph = model.graph
    gone = {v.name for v in graph.input if v.name in idle and _is_int64(v)}
    for values in (graph.input, graph.initializer):  # an initializer may be an input's default
        kept = [value for value in values if value.name not in gone]
        del values[:]
        values.extend(kept)


def _is_int64(value: onnx.ValueInfoProto) -> bool:
    return bool(value.type.tensor_type.elem_type == onnx.TensorProto.INT64)


def _remove_steps(graph: onnx.GraphProto, was: StepValues) -> None:
    """The bodies first: they read values of the graph around them."""
    for node in graph.node:
        for body in subgraphs(node):
            _remove_steps(body, was)
    prune(graph, set(was.steps))
    if was.counters:
        for node in [node for node in graph.node if is_standard_op(node, "Scan")]:
            _remove_counters(graph, node, was.counters)


def _remove_counters(graph: onnx.GraphProto, scan: onnx.NodeProto, counters: frozenset[str]) -> None:
    """Take the state variables from a Scan that only count its iterations."""
    (body,) = subgraphs(scan)
    places = (place for place, value in enumerate(body.input) if value.name in counters)
    for place in reversed([place for place in places if _only_counts(graph, scan, body, place)]):
        first, following = scan.input[place], body.output[place].name
        for values in (scan.input, scan.output, body.input, body.output):
            del values[place]
        prune(body, {following})
        prune(graph, {first})


def _only_counts(graph: onnx.GraphProto, scan: onnx.NodeProto, body: onnx.GraphProto, place: int) -> bool:
    """Is a state variable read by nothing but the Add that computes its next value?"""
    now, following = body.input[place].name, body.output[place].name
    outputs = [value.name for value in body.output]
    read = [name for node in graph_nodes(body) for name in node.input]
    return (
        [(node.op_type, list(node.output)) for node in body.node if now in node.input]
        == [("Add", [following])]
        and read.count(now) == 1
        and now not in outputs
        and following not in read
        and outputs.count(following) == 1
        and scan.output[place] not in set(reads(graph))
    )
