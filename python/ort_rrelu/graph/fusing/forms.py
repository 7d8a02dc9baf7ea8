"""The ways in which RReLU is written in standard operators: which of them a node ends, if any."""

from __future__ import annotations

from dataclasses import dataclass, replace

import onnx_ir as ir

from ort_rrelu.graph.fusing.casts import before_casts, comes_from, holds
from ort_rrelu.graph.fusing.masks import check_mask
from ort_rrelu.graph.fusing.select import masked_terms
from ort_rrelu.graph.fusing.slopes import Left, Slope, slope_of, used_elsewhere
from ort_rrelu.graph.fusing.values import (
    constant,
    described,
    dtype_of,
    is_op,
    operand,
    origin,
    passed_through,
)


@dataclass(frozen=True)
class Leak:
    """x where x > 0, x * slope elsewhere; at 0, where both are 0, the form may take either.

    `node` ends the form, but for a Cast after it. `selects` where it gives NaN for infinities.
    """

    node: ir.Node
    x: ir.Value
    slope: Slope
    selects: bool = False


def leak_of(node: ir.Node) -> Leak | None:
    """What the node computes, if it has random slopes; raises Left if it has, and RRelu is something else."""
    leak = _form(node) or _between_casts(node)
    if leak is None:
        return None
    if any(leak.x is value for value in leak.slope.drawn):
        raise Left(leak.slope.node, used_elsewhere(leak.x))
    leak.slope.check(leak.x, node)
    before, after = leak.x.shape, node.outputs[0].shape
    if before is not None and after is not None and len(before) != len(after):
        raise Left(leak.slope.node, f'"{node.outputs[0].name}" has {len(after)} dimensions, x {len(before)}')
    return leak


def _form(node: ir.Node) -> Leak | None:
    result = node.outputs[0]
    if is_op(result, "PRelu"):
        return _prelu(node)
    if is_op(result, "Where"):
        return _where(node)
    if is_op(result, "Add"):
        return _sum(node)
    return _product_with_factor(node) if is_op(result, "Mul") else None


def _inputs(node: ir.Node, count: int) -> list[ir.Value] | None:
    values = [value for value in node.inputs if value is not None]
    return values if len(values) == len(node.inputs) == count else None


def _prelu(node: ir.Node) -> Leak | None:
    """PRelu(x, slope)."""
    if (values := _inputs(node, 2)) is None or (slope := slope_of(values[1])) is None:
        return None
    return Leak(node, origin(values[0]), slope)


def _where(node: ir.Node) -> Leak | None:
    """Where(x <= 0, x * slope, x), or the other way round."""
    if (values := _inputs(node, 3)) is None:
        return None
    mask, *branches = values
    for leaking in (0, 1):
        product = _product(branches[leaking], node)
        if product is None:
            continue
        x = origin(branches[1 - leaking])
        _check_branches(x, product, node)
        check_mask(mask, x, leaks_where=leaking == 0, at=product.slope.node, root=node)
        return Leak(node, x, product.slope)
    return None


def _sum(node: ir.Node) -> Leak | None:
    """Cast(x > 0) * x + Cast(x <= 0) * (x * slope)."""
    if (terms := masked_terms(node)) is None:
        return None
    for kept, leaking in (terms, terms[::-1]):
        product = _product(leaking.value, node)
        if product is None:
            continue
        x, slope = origin(kept.value), product.slope
        _check_branches(x, product, node)
        for term in (kept, leaking):
            check_mask(term.mask, x, leaks_where=term is leaking, at=slope.node, root=node)
        slope.products.extend(leaking.products)
        return Leak(node, x, slope, selects=True)
    return None


def _check_branches(x: ir.Value, product: Leak, root: ir.Node) -> None:
    """Raise Left unless the product is one of x, without fewer digits."""
    if not comes_from(product.x, x):
        raise Left(
            product.slope.node,
            f'{described(root)} gives "{x.name}", or the product of "{product.x.name}" with what is '
            "drawn: RReLU has one x in both places",
        )
    _refuse_narrowing(product.slope, x)


def _product(value: ir.Value, root: ir.Node) -> Leak | None:
    """x * slope, through Cast and Identity."""
    passed = passed_through(value, "Identity", "Cast")
    product = is_op(passed[-1], "Mul")
    if product is None or product.graph is not root.graph or (values := _inputs(product, 2)) is None:
        return None
    for x, other in (values, values[::-1]):
        if (slope := slope_of(other)) is not None:
            slope.products.extend(passed)
            return Leak(product, origin(x), slope)
    return None


def _refuse_narrowing(slope: Slope, x: ir.Value) -> None:
    for value in slope.products:
        if is_op(value, "Cast") and not holds(value, x):
            raise Left(slope.node, f'"{value.name}", the product, may lose digits that "{x.name}" has')


def _product_with_factor(node: ir.Node) -> Leak | None:
    """x * Where(x <= 0, slope, 1), or the other way round."""
    if (values := _inputs(node, 2)) is None:
        return None
    for x, factor in (values, values[::-1]):
        passed = passed_through(factor, "Identity", "Cast")
        chosen = is_op(passed[-1], "Where")
        if chosen is None or (choice := _inputs(chosen, 3)) is None:
            continue
        mask, *branches = choice
        for leaking in (0, 1):
            if (slope := slope_of(branches[leaking])) is None:
                continue
            other = branches[1 - leaking]
            if constant(other) != 1:
                raise Left(slope.node, f'{described(chosen)} gives "{other.name}", not 1, or what is drawn')
            slope.factors.extend(passed)
            check_mask(mask, origin(x), leaks_where=leaking == 0, at=slope.node, root=chosen)
            return Leak(node, origin(x), slope)
    return None


def _between_casts(node: ir.Node) -> Leak | None:
    """Cast or CastLike of a leak of a wider Cast(x), back to the type of x: RRelu computes in one, too."""
    cast = is_op(node.outputs[0], "Cast", "CastLike")
    inner = operand(cast)
    if cast is None or inner is None:
        return None
    passed = passed_through(inner, "Identity")
    inside = passed[-1].producer()
    leak = _form(inside) if inside is not None and inside.graph is node.graph else None
    if leak is None:
        return None
    x = before_casts(leak.x)
    if x is leak.x or not _has_type_of(node, x):
        return None
    leak.slope.products.extend(passed)
    return replace(leak, x=x)


def _has_type_of(cast: ir.Node, x: ir.Value) -> bool:
    """Is the result certain to be of the type of x?"""
    if cast.op_type == "CastLike" and (like := operand(cast, 1)) is not None and origin(like) is origin(x):
        return True
    made = dtype_of(cast.outputs[0])
    return made is not None and made == dtype_of(x)
