"""What a session does not tell of its model: what draws, at which steps, and whether rows stay apart."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass

import onnx

from ort_rrelu import schema
from ort_rrelu.graph.check import attributes, may_train
from ort_rrelu.graph.nodes import (
    RANDOM_OPS,
    function_nodes,
    graph_nodes,
    is_rrelu,
    is_standard,
    is_standard_op,
    label,
    step_of,
    subgraphs,
)
from ort_rrelu.graph.rows.numbers import tensor_numbers
from ort_rrelu.graph.rows.walk import followed
from ort_rrelu.graph.step_input import adds_iteration


@dataclass(frozen=True)
class DrawingNode:
    """A node that draws.

    label: as messages call it. ours: an RRelu node in train mode, and no other random operator.
    seeded: it has a seed of its own. step: the model's input that it takes its step from, also by way of a
    loop that adds the iteration; empty when it has no step; None when its step comes from elsewhere.
    """

    label: str
    ours: bool = True
    seeded: bool = False
    step: str | None = ""


@dataclass(frozen=True)
class Drawing:
    """nodes: those that draw. read: the inputs of the model that another node than an eval RRelu reads."""

    nodes: tuple[DrawingNode, ...]
    read: frozenset[str]


def drawing_in(model: onnx.ModelProto) -> Drawing:
    """Of a model that check_form lets pass.

    A node in a function that is not ours has a step from elsewhere, for its calls may differ.
    """
    nodes = list(graph_nodes(model.graph))
    inputs = {value.name for value in model.graph.input}
    sources = {name: name for name in inputs} | _in_loops(nodes, inputs)
    off = _constants_of_false(model, nodes)
    drawn = [_drawn(node, sources, off) for node in nodes]
    for function in model.functions:
        if function.domain != schema.DOMAIN:
            drawn += [_drawn(node, {}, off) for node in function_nodes(function)]
    at_work = (node for node in nodes if not is_rrelu(node) or may_train(node))
    read = {name for node in at_work for name in node.input}
    return Drawing(tuple(filter(None, drawn)), frozenset(read & inputs))


def mixing(model: onnx.ModelProto, batched: Iterable[str]) -> tuple[str, ...]:
    """Why rows, which `batched` inputs have on axis 0, may see each other; empty by proof that none do.

    Of a model that check_form lets pass.
    """
    causes: dict[str, None] = {}
    for info, value in zip(model.graph.output, followed(model, batched), strict=True):
        causes |= dict.fromkeys(value.causes)
        if not value.causes and (reason := value.misplaced) is not None:
            causes[f'output "{info.name}" {reason}'] = None
    return tuple(causes)


def _in_loops(nodes: Sequence[onnx.NodeProto], inputs: Set[str]) -> dict[str, str]:
    """The steps that loops compute in their bodies, and the inputs that they add an iteration to."""
    steps = {step_of(node) for node in nodes if is_rrelu(node)}
    inner = (each for node in nodes for body in subgraphs(node) for each in body.node)
    return {n.output[0]: n.input[0] for n in inner if adds_iteration(n, steps) and n.input[0] in inputs}


def _constants_of_false(model: onnx.ModelProto, nodes: Iterable[onnx.NodeProto]) -> set[str]:
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    made = (node for node in nodes if is_standard_op(node, "Constant") and node.attribute)
    constants |= {node.output[0]: node.attribute[0].t for node in made}
    return {name for name, tensor in constants.items() if _is_false(tensor)}


def _is_false(tensor: onnx.TensorProto) -> bool:
    numbers = tensor_numbers(tensor) if tensor.data_type == onnx.TensorProto.BOOL else None
    return numbers is not None and not numbers.any()


def _drawn(node: onnx.NodeProto, sources: Mapping[str, str], off: Set[str]) -> DrawingNode | None:
    if is_rrelu(node) and may_train(node):
        step = step_of(node)
        return DrawingNode(label(node), True, attributes(node)["seed"] >= 0, step and sources.get(step))
    if is_standard(node.domain) and (node.op_type in RANDOM_OPS or _may_drop(node, off)):
        return DrawingNode(label(node), ours=False)
    return None


def _may_drop(node: onnx.NodeProto, off: Set[str]) -> bool:
    """Is it a Dropout with a third input, its mode, that is not a constant of False?"""
    return bool(node.op_type == "Dropout" and len(node.input) > 2 and node.input[2] not in {"", *off})
