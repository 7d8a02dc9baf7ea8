"""What a model holds of ours: as facts for machines, and as tables."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx

from ort_rrelu import schema
from ort_rrelu.commands import terminal
from ort_rrelu.graph import check
from ort_rrelu.graph.check_types import check_types
from ort_rrelu.graph.nodes import all_nodes, label
from ort_rrelu.graph.portable import is_portable

__all__ = ["model_facts", "node_facts", "print_model", "runs_without_library"]

# An exporter's seeds have 19 digits: with more columns than these, 80 characters leave no room for names.
_COLUMNS: dict[str, tuple[str, ...]] = {
    schema.RRELU: ("lower", "upper", "training", "seed", "step", "noise"),
    schema.RRELU_GRAD: (),
}

_PORTABLE = {
    True: "yes: it also runs where the library is not",
    False: "no: it needs the library (ort-rrelu portable makes it portable)",
}


def model_facts(model: onnx.ModelProto) -> dict[str, Any]:
    """The interface of a model and its nodes of ours. Raises InvalidValueError when one is invalid."""
    check.check_model(model)
    check_types(model)
    nodes = [node_facts(node) for node in all_nodes(model) if node.domain == schema.DOMAIN]
    return {
        "ir_version": model.ir_version,
        "opsets": {entry.domain or "ai.onnx": entry.version for entry in model.opset_import},
        "inputs": {value.name: _type(value.type) for value in model.graph.input},
        "outputs": {value.name: _type(value.type) for value in model.graph.output},
        "portable": runs_without_library(model),
        "nodes": nodes,
    }


def runs_without_library(model: onnx.ModelProto) -> bool:
    """Is the model portable, or has it no nodes of ours?"""
    return is_portable(model) or all(node.domain != schema.DOMAIN for node in all_nodes(model))


def _type(value: onnx.TypeProto) -> str:
    if not value.HasField("tensor_type"):
        return (value.WhichOneof("value") or "any").removesuffix("_type")
    tensor = value.tensor_type
    if tensor.elem_type == onnx.TensorProto.UNDEFINED:
        return "any"
    if tensor.elem_type not in onnx.TensorProto.DataType.values():
        return f"unknown element type {tensor.elem_type}"
    dtype: np.dtype[Any] = onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type)
    if not tensor.HasField("shape"):
        return f"{dtype} of any shape"
    dims = (d.dim_param or (str(d.dim_value) if d.HasField("dim_value") else "?") for d in tensor.shape.dim)
    return f"{dtype} [{', '.join(dims)}]"


def node_facts(node: onnx.NodeProto) -> dict[str, Any]:
    """A node of ours: its attributes, and which of its optional inputs and outputs it has."""
    values = {
        "node": label(node),
        "op": node.op_type,
        "name": node.name,
        "output": next(iter(node.output), ""),
    }
    if node.op_type != schema.RRELU:
        return values
    # In a function's body an attribute may be one of the function's own: there is no value to show.
    referring = {a.name: f"@{a.ref_attr_name}" for a in node.attribute if a.ref_attr_name}
    return {
        **values,
        **check.attributes(node),
        **referring,
        "step": len(node.input) > 1 and bool(node.input[1]),
        "noise": len(node.output) > 1 and bool(node.output[1]),
        "reserve": len(node.output) > 2 and bool(node.output[2]),
    }


def print_model(facts: dict[str, Any]) -> None:
    """Tables of what model_facts gave, under the name that it got as `model`."""
    terminal.print_line(facts["model"], style="bold")
    rows = {
        "IR version": str(facts["ir_version"]),
        "Opsets": ", ".join(f"{domain} {version}" for domain, version in facts["opsets"].items()),
        "Inputs": "\n".join(f"{name}: {kind}" for name, kind in facts["inputs"].items()) or "none",
        "Outputs": "\n".join(f"{name}: {kind}" for name, kind in facts["outputs"].items()),
    }
    if facts["nodes"]:
        rows["Portable"] = _PORTABLE[facts["portable"]]
    terminal.print_facts(rows)
    for op, columns in _COLUMNS.items():
        nodes = [node for node in facts["nodes"] if node["op"] == op]
        if nodes:
            cells = [_cells(node, columns) for node in nodes]
            terminal.print_table(_count(op, nodes), ["node", *columns], cells, right=columns)
    if not facts["nodes"]:
        terminal.print_line(f"\nThere are no nodes of the domain {schema.DOMAIN}.")


def _count(op: str, nodes: list[dict[str, Any]]) -> str:
    number = f"{op}: {len(nodes)} node{'s' * (len(nodes) != 1)}"
    if op != schema.RRELU:
        return number
    return f"{number}, {sum(node['training'] == 1 for node in nodes)} in train mode"


def _cells(node: dict[str, Any], columns: tuple[str, ...]) -> list[str]:
    return [node["name"] or f"(output {node['output']})", *(_cell(node[column]) for column in columns)]


def _cell(value: float | str | bool) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return value if isinstance(value, str) else terminal.number(value)
