"""Conditions: which of them are true for the negative elements of x alone, or for the positive ones."""

from __future__ import annotations

from dataclasses import dataclass

import onnx_ir as ir

from ort_rrelu.graph.fusing.casts import before_casts
from ort_rrelu.graph.fusing.slopes import Left
from ort_rrelu.graph.fusing.values import constant, described, is_op, operand


def check_mask(
    mask: ir.Value, x: ir.Value, *, leaks_where: bool, at: ir.Node, root: ir.Node, leak: str = "what is drawn"
) -> None:
    """Raise Left unless the mask is `leaks_where` for negative x alone."""
    found = sign_mask(mask)
    if found is None:
        raise Left(at, f'{described(root)} has condition "{mask.name}": not a comparison with 0')
    if before_casts(found.compared) is not before_casts(x):
        raise Left(at, f'{described(root)} asks for the sign of "{found.compared.name}", not of "{x.name}"')
    if found.where_negative is not leaks_where:
        raise Left(at, f"{described(root)} gives positive elements {leak}, not negative ones")


@dataclass(frozen=True)
class SignMask:
    """True for the negative elements of `compared` and false for the positive ones, or the other way round.

    What it is for 0 is left open, and for NaN too.
    """

    compared: ir.Value
    where_negative: bool


def sign_mask(mask: ir.Value) -> SignMask | None:
    """A comparison with 0, through Identity, Not and Xor with a constant; None for any other mask."""
    flipped = False
    while (before := _before(mask)) is not None:
        mask, flips = before
        flipped ^= flips
    node = is_op(mask, "Less", "LessOrEqual", "Greater", "GreaterOrEqual")
    if node is None or (sides := _constant_and_other(node)) is None or sides[0] != 0:
        return None
    number_is_left = constant(operand(node)) is not None
    negative = node.op_type.startswith("Less") is not number_is_left
    return SignMask(sides[1], negative is not flipped)


def _before(mask: ir.Value) -> tuple[ir.Value, bool] | None:
    """The mask before, and whether it is the opposite."""
    if (node := is_op(mask, "Identity", "Not")) and (before := operand(node)) is not None:
        return before, node.op_type == "Not"
    if (node := is_op(mask, "Xor")) and (sides := _constant_and_other(node)) is not None:
        return sides[1], bool(sides[0])
    return None


def _constant_and_other(node: ir.Node) -> tuple[float, ir.Value] | None:
    sides = operand(node, 0), operand(node, 1)
    for side, other in (sides, sides[::-1]):
        if (number := constant(side)) is not None and other is not None and constant(other) is None:
            return number, other
    return None
