"""Which of a model's functions call which."""

from __future__ import annotations

from collections import Counter

import onnx

from ort_rrelu import schema
from ort_rrelu.errors import InvalidValueError
from ort_rrelu.graph.nodes import function_nodes, graph_nodes

__all__ = ["Key", "callers_first", "calls", "key_of", "key_of_callee", "with_ours"]

Key = tuple[str, str, str]  # domain, name, overload


def key_of(function: onnx.FunctionProto) -> Key:
    """How nodes call it."""
    return function.domain, function.name, function.overload


def key_of_callee(node: onnx.NodeProto) -> Key:
    """The function that a node calls, if the model has it."""
    return node.domain, node.op_type, node.overload


def callers_first(model: onnx.ModelProto) -> dict[Key, Counter[Key]]:
    """How often each function calls which others; each comes after all that call it.

    Raises InvalidValueError when two functions have one name, or one calls itself, through others too.
    """
    callees: dict[Key, Counter[Key]] = {}
    for function in model.functions:
        if key_of(function) in callees:
            raise InvalidValueError(f"the model has two functions {_written(key_of(function))}: one must go")
        callees[key_of(function)] = Counter(map(key_of_callee, function_nodes(function)))
    for key, counts in callees.items():
        callees[key] = Counter({callee: times for callee, times in counts.items() if callee in callees})
    return {key: callees[key] for key in _sorted(callees)}


def _sorted(callees: dict[Key, Counter[Key]]) -> list[Key]:
    waiting = Counter(callee for counts in callees.values() for callee in counts)
    ready = [key for key in callees if not waiting[key]]
    done: list[Key] = []
    while ready:
        done.append(ready.pop())
        for callee in callees[done[-1]]:
            waiting[callee] -= 1
            if not waiting[callee]:
                ready.append(callee)
    if len(done) < len(callees):
        cycle = ", ".join(_written(key) for key in callees if key not in set(done))
        raise InvalidValueError(
            f"functions call themselves, or are called by such ones: {cycle}: ONNX has no recursion"
        )
    return done


def calls(model: onnx.ModelProto) -> Counter[Key]:
    """How often a run of the model calls each function, where each body of control flow runs once.

    Raises as callers_first does.
    """
    order = callers_first(model)
    counts = Counter(dict.fromkeys(order, 0))
    counts.update(filter(order.__contains__, map(key_of_callee, graph_nodes(model.graph))))
    for caller, callees in order.items():
        for callee, times in callees.items():
            counts[callee] += counts[caller] * times
    return counts


def with_ours(model: onnx.ModelProto) -> set[Key]:
    """The functions with nodes of our domain in them, and those that call one of these; but ours.

    Raises as callers_first does.
    """
    others = [function for function in model.functions if function.domain != schema.DOMAIN]
    found = {
        key_of(function)
        for function in others
        if any(node.domain == schema.DOMAIN for node in function_nodes(function))
    }
    for caller, callees in reversed(callers_first(model).items()):
        if caller[0] != schema.DOMAIN and not found.isdisjoint(callees):
            found.add(caller)
    return found


def _written(key: Key) -> str:
    return ":".join(map(str, filter(None, key)))
