"""Models on which onnx's shape inference would end the process: refused, or with open dimensions.

onnx 1.23 reads beyond its lists on some malformed models, which raises nothing; its version converter infers
shapes, too, and so does ONNX Runtime.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import onnx

from ort_rrelu.errors import InvalidValueError
from ort_rrelu.graph.nodes import (
    Key,
    all_graphs,
    all_nodes,
    all_tensors,
    function_nodes,
    graph_nodes,
    is_standard,
    key_of,
    key_of_callee,
    label,
)

_LARGEST = 2**63 - 1


@dataclass(frozen=True)
class _Allowed:
    """The values of an attribute that shape inference survives."""

    name: str
    least: int
    most: int
    rule: str

    def problem(self, value: int) -> str | None:
        return None if self.least <= value <= self.most else f"{self.name}={value}: {self.rule}"


def check_inferable(model: onnx.ModelProto) -> None:
    """Refuse what neither onnx nor ONNX Runtime can take.

    Raises InvalidValueError that names the node or tensor, the value and what is allowed: a Split whose
    num_outputs is not the number of its outputs, a GatherND with negative batch_dims, also where a call of a
    function gives them, and a tensor with a negative dimension.
    """
    for tensor in all_tensors(model):
        if (least := min(tensor.dims, default=0)) < 0:
            raise InvalidValueError(f"tensor {tensor.name!r}: it has dimension {least}: it must be 0 or more")
    for node in graph_nodes(model.graph):
        if (problem := contradiction(node)) is not None:
            raise InvalidValueError(f"{label(node)}: {problem}")
    if model.functions:
        _check_functions(model)


def contradiction(node: onnx.NodeProto) -> str | None:
    """The attribute that ends the process, its value and what is allowed; None where there is none."""
    allowed = _allowed(node)
    given = _attribute(node, allowed.name) if allowed is not None else None
    return None if allowed is None or given is None else allowed.problem(given.i)


def _allowed(node: onnx.NodeProto) -> _Allowed | None:
    if node.op_type == "Split" and is_standard(node.domain):
        outputs = len(node.output)
        return _Allowed(
            "num_outputs", outputs, outputs, f"it must be {outputs}, which is the number of its outputs"
        )
    if node.op_type == "GatherND" and is_standard(node.domain):
        return _Allowed("batch_dims", 0, _LARGEST, "it must be 0 or more")
    return None


def _attribute(node: onnx.NodeProto, name: str) -> onnx.AttributeProto | None:
    return next((attribute for attribute in node.attribute if attribute.name == name), None)


@dataclass(frozen=True)
class _Referred:
    """An attribute of a function, to which one of a node in it refers."""

    function: Key
    name: str
    allowed: _Allowed
    node: str


def _check_functions(model: onnx.ModelProto) -> None:
    """An attribute of a node in a function may be one of the function's, which each call gives a value."""
    calls: dict[Key, list[tuple[Key | None, onnx.NodeProto]]] = {}
    for node in graph_nodes(model.graph):
        calls.setdefault(key_of_callee(node), []).append((None, node))
    waiting: list[_Referred] = []
    for function in model.functions:
        for node in function_nodes(function):
            calls.setdefault(key_of_callee(node), []).append((key_of(function), node))
            if (referred := _checked(node, key_of(function))) is not None:
                waiting.append(referred)
    defaults = {key_of(f): {a.name: a for a in f.attribute_proto} for f in model.functions}
    seen: set[_Referred] = set()
    while waiting:
        at = waiting.pop()
        if at in seen:
            continue
        seen.add(at)
        for caller, call in calls.get(at.function, []):
            given = _attribute(call, at.name) or defaults[at.function].get(at.name)
            if given is not None and given.ref_attr_name and caller is not None:
                waiting.append(replace(at, function=caller, name=given.ref_attr_name))
            elif given is not None and (problem := at.allowed.problem(given.i)) is not None:
                raise InvalidValueError(f"{at.node}, called by {label(call)}: {problem}")


def _checked(node: onnx.NodeProto, function: Key) -> _Referred | None:
    """The function's attribute that the calls decide, if any; what the node says itself is checked."""
    allowed = _allowed(node)
    given = _attribute(node, allowed.name) if allowed is not None else None
    if allowed is None or given is None:
        return None
    if given.ref_attr_name:
        return _Referred(function, given.ref_attr_name, allowed, label(node))
    if (problem := allowed.problem(given.i)) is not None:
        raise InvalidValueError(f"{label(node)}: {problem}")
    return None


@contextmanager
def negative_dimensions_open(model: onnx.ModelProto) -> Iterator[None]:
    """In the block, negative dimensions of the model's values are open, as ONNX Runtime takes them."""
    changed = [(dim, dim.dim_value) for kind in _types(model) for dim in _negative(kind)]
    for dim, _size in changed:
        dim.ClearField("dim_value")
    try:
        yield
    finally:
        for dim, size in changed:
            dim.dim_value = size


def open_negative_dimensions(kind: onnx.TypeProto) -> None:
    """Make negative dimensions of a type open, in place."""
    for dim in _negative(kind):
        dim.ClearField("dim_value")


def _types(model: onnx.ModelProto) -> Iterator[onnx.TypeProto]:
    for graph in all_graphs(model):
        for value in (*graph.input, *graph.output, *graph.value_info):
            yield value.type
    for node in all_nodes(model):
        yield from (attribute.tp for attribute in node.attribute if attribute.HasField("tp"))


def _negative(kind: onnx.TypeProto) -> list[onnx.TensorShapeProto.Dimension]:
    """The negative dimensions of a tensor, or of the tensors in a sequence, an optional or a map."""
    match kind.WhichOneof("value"):
        case "tensor_type":
            return [dim for dim in kind.tensor_type.shape.dim if dim.dim_value < 0]
        case "sparse_tensor_type":
            return [dim for dim in kind.sparse_tensor_type.shape.dim if dim.dim_value < 0]
        case "sequence_type":
            return _negative(kind.sequence_type.elem_type)
        case "optional_type":
            return _negative(kind.optional_type.elem_type)
        case "map_type":
            return _negative(kind.map_type.value_type)
        case _:
            return []
