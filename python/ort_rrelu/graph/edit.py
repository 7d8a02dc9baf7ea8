"""replace_node, remove_unread: one node of a model becomes another, and what nobody reads any more goes.

In the ModelProto itself: a model that went through onnx_ir and back lacks what onnx_ir does not know.

remove_unused_outputs: an RRelu whose noise or reserve nobody reads does not write it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

import onnx

from ort_rrelu.graph.nodes import all_nodes, our_nodes, subgraphs

Container = onnx.GraphProto | onnx.FunctionProto


def replace_node(node: onnx.NodeProto, replacement: onnx.NodeProto) -> set[str]:
    """Make `node`, in place, the replacement; its name, its output and what is written about it stay.

    Returns the values that it read and does not read any more.
    """
    dropped = set(node.input) - set(replacement.input)
    node.domain, node.op_type = replacement.domain, replacement.op_type
    node.ClearField("overload")
    for field in ("input", "attribute"):
        node.ClearField(field)
        getattr(node, field).extend(getattr(replacement, field))
    return dropped


def remove_unread(container: Container, names: set[str]) -> None:
    """Remove, in place, what computes or holds these values and nobody reads, and so on backwards."""
    readers = Counter(_reads(container))
    writers = {name: place for place, node in enumerate(container.node) for name in node.output if name}
    waiting = [name for name in names if not readers[name]]
    unread: set[str] = set()
    useless: set[int] = set()
    while waiting:
        name = waiting.pop()
        unread.add(name)
        place = writers.get(name)
        if place is None or place in useless or any(readers[each] for each in container.node[place].output):
            continue
        useless.add(place)
        for read in _read_by(container.node[place]):
            readers[read] -= 1
            if not readers[read]:
                waiting.append(read)
    remove_at(container.node, useless)
    remove_at(container.value_info, _places(container.value_info, unread))
    if isinstance(container, onnx.GraphProto):
        inputs = {value.name for value in container.input}
        remove_at(container.initializer, _places(container.initializer, unread - inputs))


def remove_at(items: Any, places: Iterable[int]) -> None:
    """Remove, in place, the items of a protobuf at these places."""
    for place in sorted(places, reverse=True):
        del items[place]


def _places(values: Any, names: set[str]) -> list[int]:
    return [place for place, value in enumerate(values) if value.name in names]


def _reads(container: Container) -> Iterator[str]:
    """All that its nodes read, those in bodies too, and its outputs: each as often as it is read."""
    for node in container.node:
        yield from _read_by(node)
    if isinstance(container, onnx.FunctionProto):
        yield from container.output
    else:
        yield from (value.name for value in container.output)


def _read_by(node: onnx.NodeProto) -> Iterator[str]:
    yield from node.input
    for body in subgraphs(node):
        yield from _reads(body)


def remove_unused_outputs(model: onnx.ModelProto) -> None:
    """Drop, in place, the optional outputs of RRelu nodes that no node and no graph output reads.

    One that stands before an output that is read becomes an empty name.
    """
    graphs = [model.graph, *(g for n in all_nodes(model) for g in subgraphs(n))]
    read = {name for node in all_nodes(model) for name in node.input}
    read |= {output.name for graph in graphs for output in graph.output}
    read |= {name for function in model.functions for name in function.output}
    for node in our_nodes(model):
        node.output[1:] = [name if name in read else "" for name in node.output[1:]]
        while len(node.output) > 1 and not node.output[-1]:
            del node.output[-1]
