"""declare_call_types: what functions with nodes of ours give has a type that is written down."""

from __future__ import annotations

import onnx

from ort_rrelu import schema
from ort_rrelu.errors import InvalidValueError
from ort_rrelu.graph.element_types import Values, graphs_with_values
from ort_rrelu.graph.nodes import function_nodes, label

__all__ = ["declare_call_types"]

_Name = tuple[str, str, str]


def declare_call_types(model: onnx.ModelProto) -> None:
    """Declare, in place, the outputs of calls of functions that contain our nodes, in graphs and bodies.

    ONNX Runtime does not look at a custom op when it infers what a function gives, and refuses the model. In
    a portable one our ops are functions themselves.

    Raises:
        InvalidValueError: onnx does not know the type either.
    """
    ours = _functions_with_ours(model)
    if not ours:
        return
    for graph, values in graphs_with_values(model):
        declared = {value.name for value in (*graph.value_info, *graph.output) if value.HasField("type")}
        for node in graph.node:
            if (node.domain, node.op_type, node.overload) in ours:
                graph.value_info.extend(
                    _known(node, name, values) for name in node.output if name and name not in declared
                )


def _known(call: onnx.NodeProto, name: str, values: Values) -> onnx.ValueInfoProto:
    if name in values and values[name].type.WhichOneof("value"):
        return values[name]
    raise InvalidValueError(
        f'{label(call)}: the type of its output "{name}" is not known, and ONNX Runtime needs it, for the '
        "function contains nodes of ours: declare it in value_info"
    )


def _functions_with_ours(model: onnx.ModelProto) -> set[_Name]:
    """Those with a node of ours, or that call one of them."""
    read = {
        (f.domain, f.name, f.overload): {(n.domain, n.op_type, n.overload) for n in function_nodes(f)}
        for f in model.functions
        if f.domain != schema.DOMAIN
    }
    ours = {name for name, called in read.items() if any(domain == schema.DOMAIN for domain, *_ in called)}
    while more := {name for name, called in read.items() if name not in ours and called & ours}:
        ours |= more
    return ours
