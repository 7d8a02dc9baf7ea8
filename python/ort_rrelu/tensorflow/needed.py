"""The ops of a trace: all of them, and those that its outputs need; only these come into a model."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from typing import Any


def all_nodes(function: Any) -> Iterator[Any]:
    """Each tf.compat.v1.NodeDef of a traced function, and of what comes with it."""
    traced = function.graph.as_graph_def()
    return itertools.chain(traced.node, *(each.node_def for each in traced.library.function))


def needed_nodes(function: Any) -> Iterator[Any]:
    """Those that an output needs as data, in what it calls too.

    TensorFlow itself also runs draws that nothing reads: they have a state.
    """
    traced = function.graph.as_graph_def()
    functions = {each.signature.name: each for each in traced.library.function}
    called: set[str] = set()
    waiting = [(traced.node, [tensor.op.name for tensor in function.outputs])]
    while waiting:
        for node in _needed(*waiting.pop()):
            yield node
            for name in set(_called(node)) & functions.keys() - called:
                called.add(name)
                waiting.append((functions[name].node_def, list(functions[name].ret.values())))


def _needed(nodes: Iterable[Any], outputs: Iterable[str]) -> Iterator[Any]:
    """Those of one graph or function, whose values are named `node`, `node:0` or `node:output:0`."""
    writers: Mapping[str, Any] = {node.name: node for node in nodes}
    waiting, seen = list(outputs), set()
    while waiting:
        name = waiting.pop().partition(":")[0]
        if name in writers and name not in seen:  # an argument has no writer, an order ("^name") no value
            seen.add(name)
            yield writers[name]
            waiting.extend(writers[name].input)


def _called(node: Any) -> Iterator[str]:
    for attribute in node.attr.values():
        yield attribute.func.name
        yield from (each.name for each in attribute.list.func)
