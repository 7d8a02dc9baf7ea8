"""What a value was before Cast nodes that keep each of its floats as it is."""

from __future__ import annotations

from collections.abc import Iterator

import onnx_ir as ir

from ort_rrelu.graph.fusing.shapes import is_reshaped_to_itself
from ort_rrelu.graph.fusing.values import WIDTH, dtype_of, is_op, operand


def _without_widening(value: ir.Value) -> Iterator[ir.Value]:
    """The value, and those before it with the same numbers: before Identity, and lossless Casts."""
    current: ir.Value | None = value
    while current is not None:
        yield current
        node = is_op(current, "Identity", "Cast") or is_reshaped_to_itself(current)
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
    if mine is None or mine not in WIDTH or its not in WIDTH:
        return False
    return mine == its or WIDTH[its] < WIDTH[mine]
