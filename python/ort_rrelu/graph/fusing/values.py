"""What is known of a value in onnx_ir's graph: what computes it, its type, what a constant one holds."""

from __future__ import annotations

from typing import Any

import onnx_ir as ir

from ort_rrelu.graph.nodes import is_standard


def described(node: ir.Node) -> str:
    """How reasons call a node."""
    if node.name:
        return f'{node.op_type} node "{node.name}"'
    return f'{node.op_type} node with output "{node.outputs[0].name if node.outputs else ""}"'


# A wider type holds every number of a narrower one; of float16 and bfloat16 neither holds the other's.
WIDTH = {
    ir.DataType.FLOAT16: 1,
    ir.DataType.BFLOAT16: 1,
    ir.DataType.FLOAT: 2,
    ir.DataType.DOUBLE: 3,
}
FLOATS = frozenset(WIDTH)
_ELEMENTS = {int(element) for element in ir.DataType}
_INTEGERS = frozenset({ir.DataType.INT32, ir.DataType.INT64})
_NUMBERS = {*FLOATS, *_INTEGERS, ir.DataType.BOOL}
# The forms of a Constant that hold numbers.
_CONSTANT_FORMS = {
    "value": ir.AttributeType.TENSOR,
    "value_float": ir.AttributeType.FLOAT,
    "value_floats": ir.AttributeType.FLOATS,
    "value_int": ir.AttributeType.INT,
    "value_ints": ir.AttributeType.INTS,
}


def is_op(value: ir.Value | None, *op_types: str) -> ir.Node | None:
    """The node that computes a value, if it is one of these standard operators."""
    node = None if value is None else value.producer()
    return node if node is not None and is_standard(node.domain) and node.op_type in op_types else None


def operand(node: ir.Node | None, place: int = 0) -> ir.Value | None:
    """An input of a node, None where it has none there."""
    return node.inputs[place] if node is not None and place < len(node.inputs) else None


def passed_through(value: ir.Value, *op_types: str) -> list[ir.Value]:
    """The value and those before it, back to the first that is not computed by one of these operators."""
    passed = [value]
    while (before := operand(is_op(passed[-1], *op_types))) is not None:
        passed.append(before)
    return passed


def origin(value: ir.Value) -> ir.Value:
    """The value itself, without the Identity nodes that it went through."""
    return passed_through(value, "Identity")[-1]


def dtype_of(value: ir.Value) -> ir.DataType | None:
    """The element type, None where it is not known: in functions, behind ops of other domains."""
    cast = is_op(value, "Cast")
    to = None if cast is None else cast.attributes.get("to")
    if value.dtype is None and to is not None and not to.is_ref() and to.type == ir.AttributeType.INT:
        return ir.DataType(to.as_int()) if to.as_int() in _ELEMENTS else None
    return value.dtype


def perm_of(value: ir.Value) -> list[int] | None:
    """The perm of the Transpose that gives the value, None where there is none or it is not written."""
    node = is_op(value, "Transpose")
    perm = None if node is None else node.attributes.get("perm")
    if perm is None or perm.is_ref() or perm.type != ir.AttributeType.INTS:
        return None
    return list(perm.as_ints())


def with_other_reader(value: ir.Value) -> bool:
    """Does more than one node read it, in bodies too, or is it an output of its graph or function?"""
    return len(value.uses()) > 1 or value.is_graph_output()


def read_besides(value: ir.Value, nodes: set[ir.Node]) -> bool:
    """Does a node that is none of these read it, in bodies too, or is it an output?"""
    return value.is_graph_output() or any(use.node not in nodes for use in value.uses())


def constant(value: ir.Value | None) -> float | None:
    """The number that a constant holds, if it is one that broadcasts to any shape without changing it.

    Neither what a caller may feed instead (an initializer that is an input too) nor what another file holds.
    """
    tensor = _constant_tensor(value, FLOATS)
    if tensor is None or tensor.dtype not in _NUMBERS or tensor.size != 1 or len(tensor.shape) > 1:
        return None
    numbers = _numbers(tensor)
    return None if numbers is None else float(numbers[0])


def constant_integers(value: ir.Value | None) -> list[int] | None:
    """The integers that a constant of one dimension, or of none, holds."""
    tensor = _constant_tensor(value, _INTEGERS)
    if tensor is None or tensor.dtype not in _INTEGERS or len(tensor.shape) > 1:
        return None
    numbers = _numbers(tensor)
    return None if numbers is None else [int(number) for number in numbers]


def _constant_tensor(value: ir.Value | None, casts_to: frozenset[ir.DataType]) -> ir.TensorProtocol | None:
    """What is in the model for it, behind Identity and Cast to one of these types."""
    if value is None:
        return None
    *casts, value = passed_through(value, "Identity", "Cast")
    if value.is_graph_input() or any(dtype_of(cast) not in casts_to for cast in casts):
        return None
    node = is_op(value, "Constant")
    if node is not None and any(_CONSTANT_FORMS.get(a.name) != a.type for a in node.attributes.values()):
        return None
    try:
        tensor = ir.convenience.get_const_tensor(value)
    except (TypeError, ValueError):  # a Constant node, or a tensor, that onnx's checker would refuse
        return None
    return None if isinstance(tensor, ir.ExternalTensor) else tensor


def _numbers(tensor: ir.TensorProtocol) -> list[Any] | None:
    try:
        numbers: list[Any] = tensor.numpy().reshape(-1).tolist()
    except (AssertionError, TypeError, ValueError):  # it does not hold what its type and shape say
        return None
    return numbers
