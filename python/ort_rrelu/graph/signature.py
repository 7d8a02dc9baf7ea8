"""check_signature: the inputs, outputs and attributes of a node against the schema of its operator."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import onnx
from onnx.defs import OpSchema, SchemaError

from ort_rrelu import schema
from ort_rrelu.errors import InvalidValueError
from ort_rrelu.graph.nodes import label

__all__ = ["check_signature"]

_STANDARD = {"", "ai.onnx"}
_TYPE_NAME = onnx.AttributeProto.AttributeType.Name
_NEWEST = 2**31 - 1  # as onnx.defs takes a version


@dataclass(frozen=True)
class _Names:
    """Of the inputs or outputs: how many there may be, and at which places a name must stand."""

    least: int
    most: int
    needed: tuple[bool, ...]


@dataclass(frozen=True)
class _Signature:
    inputs: _Names
    outputs: _Names
    types: Mapping[str, int]
    required: tuple[str, ...]


def check_signature(node: onnx.NodeProto, opset: int | None) -> None:
    """Raise InvalidValueError that names the node unless it has what its operator's schema asks for.

    As ONNX Runtime asks for it, too. That is the number of its inputs and outputs, names for those that are
    not optional, and in control flow the attributes. Operators of other domains than ONNX's and ours, and
    those that onnx does not know, pass.

    Args:
        node: of a graph or function.
        opset: the version of ONNX's operators there; None is the newest.
    """
    signature = _signature_of(node, opset)
    if signature is None:
        return
    _check_names(node, "input", node.input, signature.inputs)
    _check_names(node, "output", node.output, signature.outputs)
    _check_attributes(node, signature)


def _signature_of(node: onnx.NodeProto, opset: int | None) -> _Signature | None:
    if node.domain == schema.DOMAIN:
        return _signature(node.op_type, schema.VERSION, schema.DOMAIN)
    if node.domain in _STANDARD:
        return _signature(node.op_type, _NEWEST if opset is None else max(0, min(opset, _NEWEST)), "")
    return None


@functools.cache
def _signature(op_type: str, version: int, domain: str) -> _Signature | None:
    found = _schema(op_type, version, domain) or _schema(op_type, _NEWEST, domain)  # the operator is younger
    if found is None:
        return None
    types = {attribute.name: int(cast("Any", attribute.type)) for attribute in found.attributes.values()}
    has_bodies = onnx.AttributeProto.GRAPH in types.values()
    return _Signature(
        _names(found.inputs, found.min_input, found.max_input),
        _names(found.outputs, found.min_output, found.max_output),
        types if has_bodies else {},
        tuple(name for name in types if has_bodies and found.attributes[name].required),
    )


def _schema(op_type: str, version: int, domain: str) -> OpSchema | None:
    try:
        return onnx.defs.get_schema(op_type, version, domain)
    except SchemaError:
        return None


def _names(parameters: Sequence[OpSchema.FormalParameter], least: int, most: int) -> _Names:
    single = OpSchema.FormalParameterOption.Single
    return _Names(least, most, tuple(parameter.option == single for parameter in parameters))


def _check_names(node: onnx.NodeProto, what: str, names: Sequence[str], allowed: _Names) -> None:
    if not allowed.least <= len(names) <= allowed.most:
        span = f"{allowed.least}" if allowed.least == allowed.most else f"{allowed.least} to {allowed.most}"
        raise InvalidValueError(f"{label(node)}: it has {len(names)} {what}s: it must have {span}")
    for place, (name, needed) in enumerate(zip(names, allowed.needed, strict=False)):
        if needed and not name:
            raise InvalidValueError(f"{label(node)}: its {what} {place} has no name: it must have one")


def _check_attributes(node: onnx.NodeProto, signature: _Signature) -> None:
    names = [attribute.name for attribute in node.attribute]
    for name in names if len(set(names)) < len(names) else ():
        if names.count(name) > 1:
            raise InvalidValueError(f"{label(node)}: it has attribute {name!r} twice: one must go")
    for name in signature.required:
        if name not in names:
            raise InvalidValueError(f"{label(node)}: it has no attribute {name!r}: its operator needs one")
    for attribute in node.attribute:
        wanted = signature.types.get(attribute.name, attribute.type)
        if attribute.type != wanted:
            raise InvalidValueError(
                f"{label(node)}: attribute {attribute.name!r} is of type {_TYPE_NAME(attribute.type)}: "
                f"it must be {_TYPE_NAME(wanted)}"
            )
