"""declare_call_types: what functions with nodes of ours give has a type that is written down."""

from __future__ import annotations

import onnx

from ort_rrelu.errors import InvalidValueError
from ort_rrelu.graph.calls import key_of_callee, with_ours
from ort_rrelu.graph.element_types import Values, graphs_with_values
from ort_rrelu.graph.nodes import label

__all__ = ["declare_call_types"]


def declare_call_types(model: onnx.ModelProto) -> None:
    """Declare, in place, the outputs of calls of functions that contain our nodes, in graphs and bodies.

    ONNX Runtime does not look at a custom op when it infers what a function gives, and refuses the model. In
    a portable one our ops are functions themselves.

    Raises:
        InvalidValueError: onnx does not know the type either.
    """
    ours = with_ours(model)
    if not ours:
        return
    for graph, values in graphs_with_values(model):
        declared = {value.name for value in (*graph.value_info, *graph.output) if value.HasField("type")}
        for node in graph.node:
            if key_of_callee(node) in ours:
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
