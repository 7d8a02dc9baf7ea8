"""Element types of values by what is declared and what operators' schemas bind: quick, for opening a session.

`value_types` knows more, by onnx's shape inference, which copies the model and takes milliseconds.
"""

from __future__ import annotations

import functools
from collections import ChainMap
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import onnx
from onnx import TensorProto
from onnx.defs import OpSchema, SchemaError

from ort_rrelu import schema
from ort_rrelu.graph.nodes import is_standard, subgraphs

_Types = Mapping[str, int]  # name -> onnx.TensorProto.DataType; UNDEFINED where it is not known
_UNKNOWN = int(TensorProto.UNDEFINED)

_TENSOR = {f"tensor({name.lower()})": int(number) for name, number in TensorProto.DataType.items()}


def known_types(model: onnx.ModelProto, opset: int) -> Iterator[tuple[onnx.NodeProto, _Types]]:
    """Each node of the graph and its bodies, in order, with the types of what is written or declared before.

    A type is right or UNDEFINED. It is not known of what is no tensor; of what an operator of another domain
    or control flow writes and nothing declares; and where it is in an attribute, but of Cast and Constant.

    Args:
        model: its functions are left out.
        opset: that of its standard operators.
    """
    return _walk(model.graph, [], opset)


def _walk(
    graph: onnx.GraphProto, outer: list[dict[str, int]], opset: int
) -> Iterator[tuple[onnx.NodeProto, _Types]]:
    declared = _declared(graph)
    # What is here hides what is outside from the first node on, wherever it is written.
    own = {name: _UNKNOWN for node in graph.node for name in node.output} | declared
    types: _Types = ChainMap(own, *outer) if outer else own
    for node in graph.node:
        yield node, types
        for body in subgraphs(node):
            yield from _walk(body, [own, *outer], opset)
        for place, name in enumerate(node.output):
            if name and name not in declared:
                own[name] = _output_type(node, place, types, opset)


def _declared(graph: onnx.GraphProto) -> dict[str, int]:
    values = (*graph.input, *graph.value_info, *graph.output)
    known = {value.name: value.type.tensor_type.elem_type for value in values}
    known |= {tensor.name: tensor.data_type for tensor in graph.initializer}
    inputs = {value.name for value in graph.input}
    return {name: kind for name, kind in known.items() if kind or name in inputs}


def _output_type(node: onnx.NodeProto, place: int, types: _Types, opset: int) -> int:
    if is_standard(node.domain):
        if node.op_type in _IN_ATTRIBUTES:
            return _type_in_attribute(node)
        rules = _rules(node.op_type, opset, "")
    elif node.domain == schema.DOMAIN:
        rules = _rules(node.op_type, schema.VERSION, schema.DOMAIN)
    else:
        return _UNKNOWN
    if not rules:
        return _UNKNOWN
    rule = rules[min(place, len(rules) - 1)]
    read = node.input[rule.first : rule.end]
    return rule.element or next(filter(None, (types.get(name, _UNKNOWN) for name in read)), _UNKNOWN)


class _Rule(NamedTuple):
    """The element type of an output: a fixed one, or that of the inputs [first, end)."""

    element: int = _UNKNOWN
    first: int = 0
    end: int | None = 0


@functools.cache
def _rules(op_type: str, version: int, domain: str) -> tuple[_Rule, ...]:
    """One for each output that an operator declares, the last also for those that follow it."""
    try:
        found = onnx.defs.get_schema(op_type, version, domain)
    except (SchemaError, TypeError):  # a version that no schema has, or that is no int32
        return ()
    allowed = {each.type_param_str: each.allowed_type_strs for each in found.type_constraints}
    return tuple(_rule(output, found.inputs, allowed) for output in found.outputs)


def _rule(
    output: OpSchema.FormalParameter,
    inputs: Sequence[OpSchema.FormalParameter],
    allowed: Mapping[str, Sequence[str]],
) -> _Rule:
    kind, *others = allowed.get(output.type_str, (output.type_str,))
    if kind in _TENSOR and not others:
        return _Rule(_TENSOR[kind])
    if not output.is_homogeneous:
        return _Rule()
    for place, parameter in enumerate(inputs):
        if parameter.type_str == output.type_str and parameter.is_homogeneous:
            many = parameter.option == OpSchema.FormalParameterOption.Variadic
            return _Rule(first=place, end=None if many else place + 1)
    return _Rule()


_IN_ATTRIBUTES = ("Cast", "Constant")


def _type_in_attribute(node: onnx.NodeProto) -> int:
    for attribute in node.attribute:
        if attribute.ref_attr_name:
            continue
        if node.op_type == "Cast" and attribute.name == "to":
            return int(attribute.i)
        if node.op_type == "Constant" and attribute.name == "value":
            return int(attribute.t.data_type)
        if node.op_type == "Constant" and attribute.name in ("value_float", "value_floats"):
            return int(TensorProto.FLOAT)
        if node.op_type == "Constant" and attribute.name in ("value_int", "value_ints"):
            return int(TensorProto.INT64)
    return _UNKNOWN
