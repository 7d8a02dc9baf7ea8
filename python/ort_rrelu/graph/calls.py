"""Which of a model's functions call which, and functions turned into the nodes that are in them."""

from __future__ import annotations

from collections import Counter

import numpy as np
import onnx
from onnx import helper, numpy_helper

from ort_rrelu import schema
from ort_rrelu.errors import InvalidValueError
from ort_rrelu.graph.nodes import Key, function_nodes, graph_nodes, key_of, key_of_callee, subgraphs
from ort_rrelu.graph.onnx_tools import inlined
from ort_rrelu.graph.opset import opset_of


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


def inline_our_nodes(model: onnx.ModelProto) -> None:
    """Inline, in place, the model's functions with nodes of ours, and those that call them.

    Those nodes may read the function's attributes and work on several types; a graph's do not.

    Raises:
        InvalidValueError: onnx cannot inline one, such as a function of another opset.
    """
    ours = with_ours(model)
    if not ours:
        return
    try:
        model.CopyFrom(inlined(model, sorted({(domain, name) for domain, name, _overload in ours})))
    except InvalidValueError as error:
        versions = {function.name: opset_of(function) for function in model.functions}
        names = ", ".join(sorted(name for _domain, name, _overload in ours))
        raise InvalidValueError(
            f"nodes of ours are in functions ({names}), and {error}: the model has opset {opset_of(model)}, "
            f"its functions have {versions}"
        ) from error


def call_inlined(function: onnx.FunctionProto, call: onnx.NodeProto, prefix: str) -> list[onnx.NodeProto]:
    """The nodes of one of our functions for one call of it, which has all attributes that it reads.

    What computes the first output gets the name of the call, and what is written about it; the other nodes
    and all new values get `prefix`. An attribute becomes a tensor, which more tools know than the other
    forms of a Constant.
    """
    names = dict(zip((*function.input, *function.output), (*call.input, *call.output), strict=True))
    values = {attribute.name: attribute for attribute in call.attribute}
    copied = onnx.FunctionProto()
    copied.CopyFrom(function)
    for node in function_nodes(copied):
        node.name = f"{prefix}{node.name}"
        for field in (node.input, node.output):
            field[:] = [names.get(name, f"{prefix}{name}" if name else "") for name in field]
        for body in subgraphs(node):
            for value in body.output:
                value.name = names.get(value.name, f"{prefix}{value.name}")
        for attribute in node.attribute:
            if attribute.ref_attr_name:
                attribute.CopyFrom(_as_tensor(values[attribute.ref_attr_name]))
    writer = next(node for node in copied.node if call.output[0] in node.output)
    writer.name, writer.doc_string = call.name or writer.name, call.doc_string
    writer.metadata_props.extend(call.metadata_props)
    return list(copied.node)


def _as_tensor(value: onnx.AttributeProto) -> onnx.AttributeProto:
    dtype = np.float32 if value.type == onnx.AttributeProto.FLOAT else np.int64
    array = np.asarray(helper.get_attribute_value(value), dtype)
    return helper.make_attribute("value", numpy_helper.from_array(array))
