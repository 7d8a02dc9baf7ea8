"""inline_functions: a model's own functions that contain nodes of ours become part of its graph."""

from __future__ import annotations

import onnx
import onnx.inliner

from ort_rrelu import schema
from ort_rrelu.errors import InvalidValueError
from ort_rrelu.graph.nodes import function_nodes
from ort_rrelu.graph.opset import opset_of
from ort_rrelu.graph.weights import return_weights, take_weights

__all__ = ["inline_functions", "inline_our_nodes"]


def inline_functions(model: onnx.ModelProto, functions: list[tuple[str, str]]) -> None:
    """Inline, in place, the functions with these domains and names; weights are left where they are."""
    weights = take_weights(model)
    try:
        inlined = onnx.inliner.inline_selected_functions(model, functions)
    finally:
        return_weights(model, weights)
    return_weights(inlined, weights)
    model.CopyFrom(inlined)


def inline_our_nodes(model: onnx.ModelProto) -> None:
    """Inline, in place, functions of the model's until none has nodes of ours.

    Those nodes may read the function's attributes and work on several types; a graph's do not.

    Raises:
        InvalidValueError: onnx cannot inline one, such as a function of another opset.
    """
    while ours := [function for function in model.functions if _has_our_node(function)]:
        names = ", ".join(function.name for function in ours)
        try:
            inline_functions(model, [(function.domain, function.name) for function in ours])
        except RuntimeError as error:
            versions = {function.name: opset_of(function) for function in model.functions}
            raise InvalidValueError(
                f"nodes of ours are in functions ({names}), which onnx cannot inline ({error}): the model "
                f"has opset {opset_of(model)}, its functions have {versions}"
            ) from error


def _has_our_node(function: onnx.FunctionProto) -> bool:
    return any(node.domain == schema.DOMAIN for node in function_nodes(function))
