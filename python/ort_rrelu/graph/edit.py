"""Nodes replaced in the ModelProto itself, and what nobody reads any more removed.

A model that went through onnx_ir and back lacks what onnx_ir does not know.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

import onnx

from ort_rrelu import schema
from ort_rrelu.graph.nodes import Container, our_nodes, reads, reads_of


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


def prune(container: Container, names: set[str]) -> None:
    """Remove, in place, what computes or holds these values and nobody reads, and so on backwards."""
    readers = Counter(reads(container))
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
        for read in reads_of(container.node[place]):
            readers[read] -= 1
            if not readers[read]:
                waiting.append(read)
    _remove_at(container.node, useless)
    _remove_at(container.value_info, _places(container.value_info, unread))
    if isinstance(container, onnx.GraphProto):
        inputs = {value.name for value in container.input}
        _remove_at(container.initializer, _places(container.initializer, unread - inputs))


def _remove_at(items: Any, places: Iterable[int]) -> None:
    """Remove, in place, the items of a protobuf at these places."""
    for place in sorted(places, reverse=True):
        del items[place]


def _places(values: Any, names: set[str]) -> list[int]:
    return [place for place, value in enumerate(values) if value.name in names]


def remove_unused_outputs(model: onnx.ModelProto) -> None:
    """Drop, in place, the optional outputs of RRelu nodes that no node and no graph output reads.

    One that stands before an output that is read becomes an empty name.
    """
    read = {name for container in (model.graph, *model.functions) for name in reads(container)}
    for node in our_nodes(model):
        node.output[1:] = [name if name in read else "" for name in node.output[1:]]
        while len(node.output) > 1 and not node.output[-1]:
            del node.output[-1]


def drop_functions(model: onnx.ModelProto) -> None:
    """Drop, in place, the functions of our ops."""
    others = [function for function in model.functions if function.domain != schema.DOMAIN]
    del model.functions[:]
    model.functions.extend(others)
