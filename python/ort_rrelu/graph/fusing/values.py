"""Questions about a value: is it the same as another, of its shape, a constant, read anywhere else?"""

from __future__ import annotations

from collections.abc import Iterator

import onnx_ir as ir

from ort_rrelu import schema

__all__ = [
    "FLOATS",
    "before_casts",
    "comes_from",
    "constant",
    "dtype_of",
    "holds",
    "is_op",
    "operand",
    "origin",
    "passed_through",
    "same_shape",
    "with_other_reader",
]

_STANDARD = {"", "ai.onnx"}

# A wider type holds every number of a narrower one; of float16 and bfloat16 neither holds the other's.
_WIDTH = {
    ir.DataType.FLOAT16: 1,
    ir.DataType.BFLOAT16: 1,
    ir.DataType.FLOAT: 2,
    ir.DataType.DOUBLE: 3,
}
FLOATS = frozenset(_WIDTH)
_ELEMENTS = {int(element) for element in ir.DataType}
_NUMBERS = {*FLOATS, ir.DataType.BOOL, ir.DataType.INT32, ir.DataType.INT64}

# One input, which gives the output its shape.
_KEEP_SHAPE = (
    *("Abs", "Cast", "Clip", "Elu", "Erf", "Exp", "HardSigmoid", "HardSwish", "Identity", "LeakyRelu", "Log"),
    *("Mish", "Neg", "Relu", "Selu", "Sigmoid", "Sign", "Softmax", "Softplus", "Softsign", "Sqrt", "Tanh"),
)


def is_op(value: ir.Value | None, *op_types: str) -> ir.Node | None:
    """The node that computes a value, if it is one of these standard operators."""
    node = None if value is None else value.producer()
    return node if node is not None and node.domain in _STANDARD and node.op_type in op_types else None


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


def _is_reshaped_to_itself(value: ir.Value) -> ir.Node | None:
    """Reshape(x, Shape(x)), which graph.lower writes before a Cast."""
    node = is_op(value, "Reshape")
    x = operand(node)
    return node if x is not None and _measured(operand(node, 1)) is x else None


def _without_widening(value: ir.Value) -> Iterator[ir.Value]:
    """The value, and those before it with the same numbers: before Identity, and lossless Casts."""
    current: ir.Value | None = value
    while current is not None:
        yield current
        node = is_op(current, "Identity", "Cast") or _is_reshaped_to_itself(current)
        before = operand(node)
        loses = (
            node is not None and node.op_type == "Cast" and before is not None and not holds(current, before)
        )
        current = None if loses else before


def before_casts(value: ir.Value) -> ir.Value:
    """The value as it was before Identity nodes and Casts that keep every float as it is, and the like."""
    *_, first = _without_widening(value)
    return first


def comes_from(value: ir.Value, x: ir.Value) -> bool:
    """Is it x, or x after Identity nodes and Casts that keep every float as it is?"""
    return any(each is x for each in _without_widening(value))


def holds(value: ir.Value, other: ir.Value) -> bool:
    """Is each float of the other's type, known or not, one of the value's type?"""
    mine, its = dtype_of(value), dtype_of(other)
    if its is None:
        return mine == ir.DataType.DOUBLE
    if mine is None or mine not in _WIDTH or its not in _WIDTH:
        return False
    return mine == its or _WIDTH[its] < _WIDTH[mine]


def dtype_of(value: ir.Value) -> ir.DataType | None:
    """The element type, None where it is not known: in functions, behind ops of other domains."""
    cast = is_op(value, "Cast")
    to = None if cast is None else cast.attributes.get("to")
    if value.dtype is None and to is not None and not to.is_ref() and to.type == ir.AttributeType.INT:
        return ir.DataType(to.as_int()) if to.as_int() in _ELEMENTS else None
    return value.dtype


def with_other_reader(value: ir.Value) -> bool:
    """Does more than one node read it, in bodies too, or is it an output of its graph or function?"""
    return len(value.uses()) > 1 or value.is_graph_output()


def constant(value: ir.Value | None) -> float | None:
    """The number that a constant holds, if it is one that broadcasts to any shape without changing it.

    Neither what a caller may feed instead (an initializer that is an input too) nor what another file holds.
    """
    if value is None:
        return None
    *casts, value = passed_through(value, "Identity", "Cast")
    if value.is_graph_input() or any(dtype_of(cast) not in FLOATS for cast in casts):
        return None
    try:
        tensor = ir.convenience.get_const_tensor(value)
    except (TypeError, ValueError):  # a Constant node, or a tensor, that onnx's checker would refuse
        return None
    if tensor is None or tensor.dtype not in _NUMBERS or tensor.size != 1 or len(tensor.shape) > 1:
        return None
    return None if isinstance(tensor, ir.ExternalTensor) else _number(tensor)


def _number(tensor: ir.TensorProtocol) -> float | None:
    try:
        return float(tensor.numpy().reshape(()))
    except (AssertionError, TypeError, ValueError):  # it does not hold what its type and shape say
        return None


def same_shape(like: ir.Value, x: ir.Value) -> bool:
    """Is it certain that both have one shape, whatever the model is fed?"""
    if any(value is like for value in _shape_sources(x)):  # nearly always the first
        return True
    sources = set(_shape_sources(x))
    return any(value in sources for value in _shape_sources(like)) or _known_equal(like.shape, x.shape)


def _shape_sources(value: ir.Value) -> Iterator[ir.Value]:
    """The value, and those before it that have its shape."""
    current: ir.Value | None = value
    while current is not None:
        yield current
        if filled := is_op(current, "ConstantOfShape"):
            current = _measured(operand(filled))
            continue
        node = current.producer()
        ours = node is not None and node.domain == schema.DOMAIN and current is node.outputs[0]
        keeps = ours or is_op(current, *_KEEP_SHAPE) or _is_reshaped_to_itself(current)
        current = operand(node) if keeps else None


def _measured(shape: ir.Value | None) -> ir.Value | None:
    """The value whose Shape it is."""
    while node := is_op(shape, "Identity", "Cast"):
        shape = operand(node)
    node = is_op(shape, "Shape")
    return operand(node) if node is not None and not node.attributes else None


def _known_equal(one: ir.Shape | None, other: ir.Shape | None) -> bool:
    if one is None or other is None or len(one) != len(other):
        return False
    return all(_known(a) is not None and _known(a) == _known(b) for a, b in zip(one, other, strict=True))


def _known(dimension: int | ir.SymbolicDim) -> int | str | None:
    return dimension if isinstance(dimension, int) else dimension.value
