"""inline_functions: a model's own functions that contain nodes of ours become part of its graph."""

from __future__ import annotations

import onnx

from ort_rrelu import schema
from ort_rrelu.errors import InvalidValueError
from ort_rrelu.graph.calls import callers_first, key_of
from ort_rrelu.graph.nodes import function_nodes
from ort_rrelu.graph.onnx_tools import inlined
from ort_rrelu.graph.opset import opset_of

__all__ = ["inline_functions", "inline_our_nodes"]


def inline_functions(model: onnx.ModelProto, functions: list[tuple[str, str]]) -> None:
    """Inline, in place, the functions with these domains and names; weights are left where they are."""
    model.CopyFrom(inlined(model, functions))


def inline_our_nodes(model: onnx.ModelProto) -> None:
    """Inline, in place, the model's functions with nodes of ours, and those that call them.

    Those nodes may read the function's attributes and work on several types; a graph's do not.

    Raises:
        InvalidValueError: onnx cannot inline one, such as a function of another opset.
    """
    order = callers_first(model)
    ours = {key_of(function) for function in model.functions if _has_our_node(function)}
    for caller in reversed(order):
        if ours.intersection(order[caller]):
            ours.add(caller)
    if not ours:
        return
    try:
        inline_functions(model, sorted({(domain, name) for domain, name, _overload in ours}))
    except InvalidValueError as error:
        versions = {function.name: opset_of(function) for function in model.functions}
        names = ", ".join(sorted(name for _domain, name, _overload in ours))
        raise InvalidValueError(
            f"nodes of ours are in functions ({names}), and {error}: the model has opset {opset_of(model)}, "
            f"its functions have {versions}"
        ) from error


def _has_our_node(function: onnx.FunctionProto) -> bool:
    return any(node.domain == schema.DOMAIN for node in function_nodes(function))
