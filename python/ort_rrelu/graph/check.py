"""The check of our nodes in a model, which ONNX Runtime cannot do for a custom op.

A kernel cannot list its node's attributes, so a misspelt one would silently leave the default in place.
"""

from __future__ import annotations

import difflib
import functools
from collections.abc import Iterable
from typing import Any

import onnx

from ort_rrelu import library, schema
from ort_rrelu.errors import InvalidValueError
from ort_rrelu.graph.nodes import Container, label, nodes_of_ours

_TYPE_NAME = onnx.AttributeProto.AttributeType.Name


def attributes(node: onnx.NodeProto) -> dict[str, Any]:
    """The attributes of a node of ours; a default stands for one that is absent or refers to a function's."""
    own = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute if not a.ref_attr_name}
    return {**_defaults(node.op_type), **own}


@functools.cache
def _defaults(op_type: str) -> dict[str, Any]:
    return {
        name: onnx.helper.get_attribute_value(a.default_value)
        for name, a in schema.schemas()[op_type].attributes.items()
    }


def may_train(node: onnx.NodeProto) -> bool:
    """Is an RRelu node in train mode, or does the function that it is in decide?"""
    refers = any(a.name == "training" and a.ref_attr_name for a in node.attribute)
    return refers or bool(attributes(node)["training"])


def _check_name(node: onnx.NodeProto, name: str, known: list[str]) -> None:
    if name in known:
        return
    close = difflib.get_close_matches(str(name), known, n=1)  # bytes where it is not UTF-8
    hint = f"; did you mean {close[0]!r}?" if close else ""
    raise InvalidValueError(
        f"{label(node)}: unknown attribute {name!r}: allowed are {', '.join(known) or 'none'}{hint}"
    )


def _check_type(node: onnx.NodeProto, attribute: onnx.AttributeProto, wanted: int) -> None:
    if attribute.type == wanted:
        return
    # onnx.helper writes lower=0 as an INT.
    if wanted == onnx.AttributeProto.FLOAT and attribute.type == onnx.AttributeProto.INT:
        if _float32(attribute.i) == attribute.i:
            return
        raise InvalidValueError(
            f"{label(node)}: {attribute.name}={attribute.i} is an INT that a float cannot hold exactly: "
            "write it as FLOAT"
        )
    raise InvalidValueError(
        f"{label(node)}: attribute {attribute.name} is of type {_TYPE_NAME(attribute.type)}: "
        f"it must be {_TYPE_NAME(wanted)}"
    )


# The fields of an attribute that say something about it; the others hold values.
_ABOUT = {"name", "type", "ref_attr_name", "doc_string"}


def _check_given_once(node: onnx.NodeProto) -> None:
    """ONNX Runtime refuses such nodes, but not what is made of them."""
    names = [attribute.name for attribute in node.attribute]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise InvalidValueError(f"{label(node)}: attribute {twice} is given twice: give it once")
    for attribute in node.attribute:
        fields = [field.name for field, _value in attribute.ListFields() if field.name not in _ABOUT]
        if len(fields) > 1:
            raise InvalidValueError(
                f"{label(node)}: attribute {attribute.name} has values of several types, in the fields "
                f"{', '.join(fields)}: it must have one"
            )


def _float32(value: float) -> float:
    return onnx.helper.make_attribute("", float(value)).f


def _check_node(node: onnx.NodeProto) -> None:
    known = _attribute_types().get(node.op_type)
    if known is None:
        names = ", ".join(_attribute_types())
        raise InvalidValueError(
            f"{label(node)}: unknown op {node.op_type!r}: domain {schema.DOMAIN} has {names}"
        )
    for attribute in node.attribute:
        _check_name(node, attribute.name, list(known))
        _check_type(node, attribute, known[attribute.name])
    _check_given_once(node)
    if node.op_type == schema.RRELU:
        _check_values(node)


@functools.cache
def _attribute_types() -> dict[str, dict[str, int]]:
    """Op -> attribute -> its type, in the order of names."""
    return {
        op: {name: int(found.attributes[name].default_value.type) for name in sorted(found.attributes)}
        for op, found in schema.schemas().items()
    }


def _check_values(node: onnx.NodeProto) -> None:
    values = attributes(node)
    training = values["training"]
    # An int64 there, an int32 in the C API.
    if not -(2**31) <= training < 2**31:
        raise InvalidValueError(f"{label(node)}: training={training}: it must be 0 or 1")
    try:
        library.check(library.Params(onnx.TensorProto.FLOAT, values["lower"], values["upper"], training))
    except InvalidValueError as error:
        raise InvalidValueError(f"{label(node)}: {error}") from error


def check_model(model: onnx.ModelProto) -> None:
    """Check every node of our domain: known op, known attributes, their types and values.

    Raises InvalidValueError that names the node, the attribute, its value and what is allowed. What depends
    on the element type (a bound that float16 cannot hold) is checked by the kernel when a session is created,
    and by check_types.
    """
    _checked((model.graph, *model.functions))


def checked_nodes(model: onnx.ModelProto) -> list[onnx.NodeProto]:
    """The nodes of our domain, after the same check, for ONNX Runtime.

    It refuses a function with nodes of a domain that the function does not import: such ones are left out.
    """
    importing = (f for f in model.functions if any(e.domain == schema.DOMAIN for e in f.opset_import))
    return _checked((model.graph, *importing))


def _checked(containers: Iterable[Container]) -> list[onnx.NodeProto]:
    nodes = nodes_of_ours(containers)
    for node in nodes:
        _check_node(node)
    return nodes
