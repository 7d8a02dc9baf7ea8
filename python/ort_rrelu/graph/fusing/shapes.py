"""Whether two values are certain to have one shape, whatever the model is fed."""

from __future__ import annotations

from collections.abc import Iterator

import onnx_ir as ir

from ort_rrelu import schema
from ort_rrelu.graph.fusing.values import constant_integers, dtype_of, is_op, operand, perm_of

# One input, which gives the output its shape.
_KEEP_SHAPE = (
    *("Abs", "Cast", "Clip", "Elu", "Erf", "Exp", "HardSigmoid", "HardSwish", "Identity", "LeakyRelu", "Log"),
    *("Mish", "Neg", "Relu", "Selu", "Sigmoid", "Sign", "Softmax", "Softplus", "Softsign", "Sqrt", "Tanh"),
)
_LENGTHS = {ir.DataType.INT32, ir.DataType.INT64}

# What is known of one length: a number, a name, or a value that is so long along an axis. Two lengths are
# equal if they have anything in common.
_Length = frozenset[int | str | tuple[ir.Value, int]]


def same_shape(like: ir.Value, x: ir.Value) -> bool:
    """Is it certain that both have one shape, whatever the model is fed?"""
    if any(value is like for value in _shape_sources(x)):  # nearly always the first
        return True
    sources = set(_shape_sources(x))
    if any(value in sources for value in _shape_sources(like)) or _known_equal(like.shape, x.shape):
        return True
    return _has_lengths(x, _filled(like))


def _shape_sources(value: ir.Value) -> Iterator[ir.Value]:
    """The value, and those before it that have its shape."""
    current: ir.Value | None = value
    while current is not None:
        yield current
        if filled := is_op(current, "ConstantOfShape"):
            current = _measured(operand(filled))
            continue
        current = _before(current)


def _before(value: ir.Value) -> ir.Value | None:
    """The input that the node before gives its shape to its output."""
    node = value.producer()
    ours = node is not None and node.domain == schema.DOMAIN and value is node.outputs[0]
    keeps = ours or is_op(value, *_KEEP_SHAPE) or is_reshaped_to_itself(value)
    return operand(node) if keeps else None


def _measured(shape: ir.Value | None) -> ir.Value | None:
    """The value whose Shape it is."""
    while node := is_op(shape, "Identity", "Cast"):
        shape = operand(node)
    node = is_op(shape, "Shape")
    return operand(node) if node is not None and not node.attributes else None


def is_reshaped_to_itself(value: ir.Value) -> ir.Node | None:
    """Reshape(x, Shape(x)), which graph.lower writes before a Cast."""
    node = is_op(value, "Reshape")
    x = operand(node)
    return node if x is not None and _measured(operand(node, 1)) is x else None


def _known_equal(one: ir.Shape | None, other: ir.Shape | None) -> bool:
    if one is None or other is None or len(one) != len(other):
        return False
    return all(_known(a) is not None and _known(a) == _known(b) for a, b in zip(one, other, strict=True))


def _known(dimension: int | ir.SymbolicDim) -> int | str | None:
    return dimension if isinstance(dimension, int) else dimension.value


# A shape that was computed of others: tf2onnx takes some lengths of x, and reorders those before a Transpose.


def _filled(value: ir.Value) -> list[_Length] | None:
    """The lengths that a ConstantOfShape before it was given."""
    for source in _shape_sources(value):
        if (node := is_op(source, "ConstantOfShape")) and (shape := operand(node)) is not None:
            return _lengths_in(shape)
    return None


def _has_lengths(x: ir.Value, lengths: list[_Length] | None) -> bool:
    if lengths is None or _rank(x) != len(lengths):
        return False
    return all(length & _length(x, axis) for axis, length in enumerate(lengths))


def _rank(value: ir.Value) -> int | None:
    if value.shape is not None:
        return len(value.shape)
    order = perm_of(value)
    return None if order is None else len(order)


def _length(value: ir.Value, axis: int) -> _Length:
    """All that is known of the length of a value along an axis."""
    known: set[int | str | tuple[ir.Value, int]] = set()
    current: ir.Value | None = value
    while current is not None:
        known.add((current, axis))
        if current.shape is not None and axis < len(current.shape):
            length = _known(current.shape[axis])
            known |= set() if length is None else {length}
        if (order := perm_of(current)) is not None and axis < len(order):
            current, axis = operand(current.producer()), order[axis]
        else:
            current = _before(current)
    return frozenset(known)


def _lengths_in(vector: ir.Value) -> list[_Length] | None:
    """The elements of a vector of lengths, or the one that a scalar is."""
    if (numbers := constant_integers(vector)) is not None:
        return [frozenset({number}) for number in numbers]
    if is_op(vector, "Cast") and dtype_of(vector) not in _LENGTHS:
        return None
    if node := is_op(vector, "Identity", "Cast", "Squeeze", "Unsqueeze"):
        lengths = _lengths_of_operand(node)
        simple = node.op_type in {"Identity", "Cast"}
        return lengths if simple or lengths is None or len(lengths) == 1 else None
    if node := is_op(vector, "Shape"):
        return _lengths_of_shape(node)
    if node := is_op(vector, "Gather"):
        return _gathered(node)
    if node := is_op(vector, "Slice"):
        return _sliced(node)
    if node := is_op(vector, "Concat"):
        parts = [None if part is None else _lengths_in(part) for part in node.inputs]
        return [length for part in parts for length in part or []] if None not in parts else None
    return None


def _lengths_of_operand(node: ir.Node) -> list[_Length] | None:
    before = operand(node)
    return None if before is None else _lengths_in(before)


def _lengths_of_shape(node: ir.Node) -> list[_Length] | None:
    value = operand(node)
    rank = None if value is None or node.attributes else _rank(value)
    return None if value is None or rank is None else [_length(value, axis) for axis in range(rank)]


def _gathered(node: ir.Node) -> list[_Length] | None:
    """Elements of a vector; those of a Shape are known even where the rank is not."""
    places, vector = constant_integers(operand(node, 1)), operand(node)
    if places is None or vector is None:
        return None
    lengths = _lengths_in(vector)
    if lengths is None:
        value = _measured(vector)
        known = value is not None and min(places, default=0) >= 0
        return [_length(value, place) for place in places] if known and value is not None else None
    inside = all(-len(lengths) <= place < len(lengths) for place in places)
    return [lengths[place] for place in places] if inside else None


def _sliced(node: ir.Node) -> list[_Length] | None:
    """Neighbours in a vector; Slice has its numbers as inputs, and before opset 10 as attributes."""
    lengths = _lengths_of_operand(node)
    starts, ends = _numbers_of(node, "starts", 1), _numbers_of(node, "ends", 2)
    steps = [1] if operand(node, 4) is None else constant_integers(operand(node, 4))
    if lengths is None or starts is None or ends is None or steps != [1] or len(starts) != len(ends):
        return None
    return lengths[starts[0] : ends[0]] if len(starts) == 1 else None


def _numbers_of(node: ir.Node, name: str, place: int) -> list[int] | None:
    attribute = node.attributes.get(name)
    if attribute is None:
        return constant_integers(operand(node, place))
    usable = not attribute.is_ref() and attribute.type == ir.AttributeType.INTS
    return list(attribute.as_ints()) if usable else None
