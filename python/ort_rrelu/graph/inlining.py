"""Functions become nodes: a model's own that contain nodes of ours, and ours for one node."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import helper, numpy_helper

from ort_rrelu.errors import InvalidValueError
from ort_rrelu.graph.calls import with_ours
from ort_rrelu.graph.nodes import function_nodes, subgraphs
from ort_rrelu.graph.onnx_tools import inlined
from ort_rrelu.graph.opset import opset_of

__all__ = ["call_inlined", "inline_our_nodes"]


def _inline_functions(model: onnx.ModelProto, functions: list[tuple[str, str]]) -> None:
    """Inline, in place, the functions with these domains and names; weights are left where they are."""
    model.CopyFrom(inlined(model, functions))


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
        _inline_functions(model, sorted({(domain, name) for domain, name, _overload in ours}))
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
