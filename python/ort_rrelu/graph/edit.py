"""replace_node, remove_unread: one node of a model becomes another, and what nobody reads any more goes.

In the ModelProto itself: a model that went through onnx_ir and back lacks what onnx_ir does not know.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import onnx

from ort_rrelu.graph.nodes import subgraphs

__all__ = ["Container", "remove_unread", "replace_node"]

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
    dropped = set(names)
    producers = {name: node for node in container.node for name in node.output if name}
    while unread := dropped - (read := _read(container)):
        nodes = {id(node): node for name, node in producers.items() if name in unread}.values()
        useless = [node for node in nodes if not read.intersection(node.output)]
        if not useless:
            break
        dropped |= _read_by(useless)
        for node in useless:
            for name in node.output:
                producers.pop(name, None)
            container.node.remove(node)
    _remove_named(container.value_info, unread)
    if isinstance(container, onnx.GraphProto):
        inputs = {value.name for value in container.input}
        _remove_named(container.initializer, unread - inputs)


def _remove_named(values: Any, names: set[str]) -> None:
    for place in reversed(range(len(values))):
        if values[place].name in names:
            del values[place]


def _outputs(container: Container) -> set[str]:
    if isinstance(container, onnx.FunctionProto):
        return set(container.output)
    return {value.name for value in container.output}


def _read(container: Container) -> set[str]:
    return _read_by(container.node) | _outputs(container)


def _read_by(nodes: Iterable[onnx.NodeProto]) -> set[str]:
    """All values that nodes read, those in bodies too."""
    names: set[str] = set()
    for node in nodes:
        names.update(node.input)
        for body in subgraphs(node):
            names |= _read(body)
    return names
