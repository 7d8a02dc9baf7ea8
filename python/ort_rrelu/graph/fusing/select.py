"""A choice by a mask, as tf2onnx writes TensorFlow's where: Cast(mask) * one + Cast(Not(mask)) * other."""

from __future__ import annotations

from dataclasses import dataclass

import onnx_ir as ir

from ort_rrelu.graph.fusing.values import is_op, operand, passed_through

_MASKS = ("Less", "LessOrEqual", "Greater", "GreaterOrEqual", "Equal", "Not", "Xor", "And", "Or")


@dataclass(frozen=True)
class Term:
    """Cast(mask) * value; `products` are that and Identity after it, `casts` what it reads of the mask."""

    mask: ir.Value
    value: ir.Value
    products: list[ir.Value]
    casts: list[ir.Value]


def masked_terms(node: ir.Node) -> tuple[Term, Term] | None:
    """The two terms of a sum of products with masks; None for any other node."""
    terms = [_term(value, node) for value in node.inputs]
    if len(terms) != 2 or terms[0] is None or terms[1] is None:
        return None
    return terms[0], terms[1]


def _term(value: ir.Value | None, root: ir.Node) -> Term | None:
    if value is None:
        return None
    passed = passed_through(value, "Identity")
    product = is_op(passed[-1], "Mul")
    if product is None or product.graph is not root.graph:
        return None
    sides = operand(product, 0), operand(product, 1)
    for factor, other in (sides, sides[::-1]):
        if factor is None or other is None:
            continue
        *casts, mask = passed_through(factor, "Identity", "Cast")
        while casts and _is_mask(casts[-1]):  # an Identity, of a mask still
            mask = casts.pop()
        if casts and _is_mask(mask):
            return Term(mask, other, passed, casts)
    return None


def _is_mask(value: ir.Value) -> bool:
    return value.dtype == ir.DataType.BOOL or is_op(value, *_MASKS) is not None
