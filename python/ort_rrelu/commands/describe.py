"""What a model holds of ours, and what a tool changed in it: as facts for machines, and as tables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import onnx

from ort_rrelu import schema
from ort_rrelu.commands import terminal
from ort_rrelu.graph import check
from ort_rrelu.graph.embedding import is_portable
from ort_rrelu.graph.nodes import all_nodes, function_nodes, graph_nodes, label, subgraphs
from ort_rrelu.graph.opset import opset_of
from ort_rrelu.graph.value_types import check_types
from ort_rrelu.tensors import declared_shape, shape_text

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
    return f"{dtype} {shape_text(declared_shape(tensor))}"


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


_Facts = dict[str, Any]
_Place = tuple[str, ...]
# What may change in a node; its name is in the first column.
_ORDER = ("op", "training", "lower", "upper", "seed", "step", "noise", "reserve")


def changes(before: onnx.ModelProto, after: onnx.ModelProto) -> _Facts:
    """The nodes that are or were of our domain and differ, and the facts about the model that differ.

    A node is known by its first output and the body or function that it is in.
    """
    old, new = dict(_places(before)), dict(_places(after))
    pairs = [(old.get(place), new.get(place)) for place in {**old, **new}]
    ours = [pair for pair in pairs if any(node is not None and _is_ours(node) for node in pair)]
    facts = [(_node(was), _node(now)) for was, now in ours]
    whole = zip(_whole(before).items(), _whole(after).values(), strict=True)
    return {
        "nodes": [
            {"name": _name(*pair), "before": was, "after": now}
            for pair, (was, now) in zip(ours, facts, strict=True)
            if was != now
        ],
        "unchanged": sum(was == now for was, now in facts),
        "model": {name: {"before": was, "after": now} for (name, was), now in whole if was != now},
    }


def _places(model: onnx.ModelProto) -> Iterator[tuple[_Place, onnx.NodeProto]]:
    yield from _in_nodes(model.graph.node, ())
    for function in model.functions:
        yield from _in_nodes(function.node, (function.domain, function.name, function.overload))


def _in_nodes(nodes: Sequence[onnx.NodeProto], scope: _Place) -> Iterator[tuple[_Place, onnx.NodeProto]]:
    for node in nodes:
        place = (*scope, next(filter(None, node.output), ""))
        yield place, node
        for index, graph in enumerate(subgraphs(node)):
            yield from _in_nodes(graph.node, (*place, str(index)))


def _is_ours(node: onnx.NodeProto) -> bool:
    return bool(node.domain == schema.DOMAIN)


def _name(was: onnx.NodeProto | None, now: onnx.NodeProto | None) -> str:
    """As the model calls it, or by its output; a new node as the new model does."""
    node = now if was is None else was
    assert node is not None
    return str(node.name) or f"(output {node.output[0]})"


def _node(node: onnx.NodeProto | None) -> _Facts | None:
    if node is None:
        return None
    if not _is_ours(node):
        return {"op": node.op_type}
    facts = node_facts(node)
    return {key: facts[key] for key in _ORDER if key in facts}


def _whole(model: onnx.ModelProto) -> _Facts:
    return {
        "opset": opset_of(model),
        "ir_version": model.ir_version,
        "inputs": [value.name for value in model.graph.input],
        "nodes": sum(1 for _ in _own_nodes(model)),
        "portable": runs_without_library(model),
    }


def _own_nodes(model: onnx.ModelProto) -> Iterator[onnx.NodeProto]:
    """All but those of the functions that a portable model carries."""
    yield from graph_nodes(model.graph)
    for function in model.functions:
        if function.domain != schema.DOMAIN:
            yield from function_nodes(function)


def print_changes(facts: _Facts) -> None:
    """A table of the nodes, and one of the model."""
    nodes = facts["nodes"]
    title = f"Nodes: {len(nodes)} changed, {facts['unchanged']} as before"
    if nodes:
        rows = [[node["name"], *_difference(node["before"], node["after"])] for node in nodes]
        terminal.print_table(title, ["node", "before", "after"], rows)
    else:
        terminal.print_line(f"\n{title}", style="bold")
    if facts["model"]:
        rows = [[name, *map(_text, pair.values())] for name, pair in facts["model"].items()]
        terminal.print_table("Model", ["", "before", "after"], rows)


def _difference(was: _Facts | None, now: _Facts | None) -> tuple[str, str]:
    """Of two nodes of one op what differs, else all of both."""
    if was is None or now is None or was["op"] != now["op"]:
        return _all(was), _all(now)
    keys = [key for key in was if was[key] != now[key]]
    return _listed(was, keys), _listed(now, keys)


def _all(node: _Facts | None) -> str:
    if node is None:
        return "-"
    keys = [key for key in node if key != "op" and node[key] is not False]
    return f"{node['op']} {_listed(node, keys)}".rstrip()


def _listed(node: _Facts, keys: Sequence[str]) -> str:
    return ", ".join(f"{key} {_text(node[key])}" for key in keys)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(value)
    return value if isinstance(value, str) else terminal.number(value)
