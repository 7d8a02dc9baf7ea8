"""LeakyRelu as tf2onnx writes it: Cast(mask) * x + Cast(Not(mask)) * (slope * x), with a constant slope."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import DTypeLike

from ort_rrelu.graph.fusing.masks import check_mask
from ort_rrelu.graph.fusing.select import Term, masked_terms
from ort_rrelu.graph.fusing.slopes import Left
from ort_rrelu.graph.fusing.values import (
    constant,
    described,
    dtype_of,
    is_op,
    operand,
    passed_through,
    perm_of,
)

# ONNX Runtime has no LeakyRelu of the other types, or not in every opset.
_TYPES: dict[ir.DataType, DTypeLike] = {ir.DataType.FLOAT: np.float32, ir.DataType.FLOAT16: np.float16}


@dataclass(frozen=True)
class Leaky:
    """x where x > 0, alpha * x elsewhere, but for infinities."""

    x: ir.Value
    alpha: float


@dataclass(frozen=True)
class _Product:
    """`factor` * x, after the Transposes that come after `x`, which are the last of `passed`."""

    factor: float
    x: ir.Value
    passed: list[ir.Value]


def leaky_of(node: ir.Node) -> Leaky | None:
    """What a node computes, if it chooses between x and its product with a constant.

    Raises Left if it does so, and a LeakyRelu would be something else.
    """
    terms = masked_terms(node) if node.outputs and is_op(node.outputs[0], "Add") else None
    if terms is None:
        return None
    orders = (terms, terms[::-1])
    products = [(*order, product) for order in orders if (product := _product(order[1].value, node))]
    for kept, leaking, product in products:
        if _is_moved(kept.value, product):
            return _checked(node, kept, leaking, product)
    if products:
        kept, _, product = products[0]
        raise Left(
            node,
            f'it gives "{kept.value.name}", or a constant times "{product.x.name}": LeakyRelu has one x in '
            "both places",
        )
    return None


def _product(value: ir.Value, root: ir.Node) -> _Product | None:
    """A constant times x, through Identity and Transpose."""
    passed = passed_through(value, "Identity", "Transpose")
    node = is_op(passed[-1], "Mul")
    if node is None or node.graph is not root.graph:
        return None
    sides = operand(node, 0), operand(node, 1)
    for number, x in (sides, sides[::-1]):
        if (factor := constant(number)) is not None and x is not None and constant(x) is None:
            return _Product(factor, x, passed)
    return None


def _is_moved(x: ir.Value, product: _Product) -> bool:
    """Is it what the product is of, after the same Transposes?"""
    orders = [perm_of(value) for value in product.passed if is_op(value, "Transpose")]
    source = passed_through(product.x, "Identity")[-1]
    current = passed_through(x, "Identity")[-1]
    for order in orders:
        before = operand(is_op(current, "Transpose"))
        if before is None or order is None or perm_of(current) != order:
            return False
        current = passed_through(before, "Identity")[-1]
    return current is source


def _checked(node: ir.Node, kept: Term, leaking: Term, product: _Product) -> Leaky:
    x = passed_through(kept.value, "Identity")[-1]
    for term in (kept, leaking):
        check_mask(term.mask, x, leaks_where=term is leaking, at=node, root=node, leak="the product")
    before, after = x.shape, node.outputs[0].shape
    if before is not None and after is not None and len(before) != len(after):
        raise Left(node, f"{described(node)} has {len(after)} dimensions, x {len(before)}")
    return Leaky(x, _alpha(product.factor, node, x, kept))


def _alpha(factor: float, node: ir.Node, x: ir.Value, kept: Term) -> float:
    """The factor, if LeakyRelu gives the same bits with it."""
    element = next((known for value in (x, *kept.products, *kept.casts) if (known := dtype_of(value))), None)
    if element not in _TYPES:
        name = "an unknown type" if element is None else element.name
        raise Left(node, f"its x is of {name}: ONNX Runtime has a LeakyRelu of FLOAT and FLOAT16")
    with np.errstate(over="ignore"):
        rounded = float(np.asarray(factor, _TYPES[element]))
    if not math.isfinite(factor) or rounded != factor:
        raise Left(node, f"its slope, {factor:g}, is no number of {element.name}")
    if factor <= 0:
        raise Left(
            node,
            f"its slope is {factor:g}: only above 0 are zeros of LeakyRelu certain to have the same sign",
        )
    return factor
