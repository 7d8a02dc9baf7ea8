"""Random slopes: the draw that a value comes from, its bounds and its seed."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import onnx_ir as ir

from ort_rrelu import library
from ort_rrelu.errors import InvalidValueError
from ort_rrelu.graph.fusing.shapes import same_shape
from ort_rrelu.graph.fusing.tf2onnx import has_no_seed, is_numbered, known_seed, may_be_merged
from ort_rrelu.graph.fusing.values import (
    FLOATS,
    constant,
    described,
    dtype_of,
    is_op,
    operand,
    with_other_reader,
)


class Left(Exception):  # noqa: N818  # not an error: the model is as valid as before
    """`node`, a draw of uniform numbers or what ends a form, stays as it is, and the message says why."""

    def __init__(self, node: ir.Node, reason: str) -> None:
        super().__init__(reason)
        self.node, self.reason = node, reason


@dataclass
class Slope:
    """Random slopes: `scale` * U(low, high) + `offset`, drawn by `node` and computed by what stands after it.

    `drawn` are the values from that node's to the slopes, `factors` choices between these and 1, `products`
    those that are x * slope. What does not depend on the draw, a mask, say, is none of them: it has the same
    value for whatever else reads it.
    """

    node: ir.Node
    scale: float = 1.0
    offset: float = 0.0
    drawn: list[ir.Value] = field(default_factory=list)
    factors: list[ir.Value] = field(default_factory=list)
    products: list[ir.Value] = field(default_factory=list)

    def _number(self, name: str, default: float) -> float:
        attribute = self.node.attributes.get(name)
        if attribute is None:
            return default
        if attribute.is_ref():
            raise Left(self.node, f"its {name} is an attribute of the function that it is in: not constant")
        if attribute.type != ir.AttributeType.FLOAT:
            raise Left(self.node, f"its {name} is of type {attribute.type.name}: ONNX wants FLOAT")
        return float(attribute.as_float())

    def bounds(self, x: ir.Value) -> tuple[float, float]:
        """Lower and upper, if RRelu takes them for the element type of x."""
        ends = [self.scale * self._number(*end) + self.offset for end in (("low", 0.0), ("high", 1.0))]
        lower, upper = ends if self.scale >= 0 else reversed(ends)
        element = int(dtype_of(x) or ir.DataType.FLOAT)
        try:
            library.check(library.Params(element, lower, upper))
        except InvalidValueError as error:
            raise Left(self.node, str(error)) from error
        return lower, upper

    def seed(self) -> int | None:
        """The seed attribute as RRelu's, None where there is none.

        ONNX has it as a float. Its integer part where that is from 0 to 2^63 - 1, which is what ONNX Runtime
        takes of it; else the 32 bits of the float, so that it stays fixed.
        """
        if is_numbered(self.node):
            return known_seed(self.node)
        if "seed" not in self.node.attributes or has_no_seed(self.node):
            return None
        seed = self._number("seed", 0.0)
        if 0 <= seed < 2**63:
            return int(seed)
        return int(np.float32(seed).view(np.uint32))

    def check(self, x: ir.Value, root: ir.Node) -> None:
        """Raise Left unless it gives each element of x, in the graph of `root`, a number of its own."""
        if self.node.graph is not root.graph:
            raise Left(
                self.node,
                f"{described(root)} is in a body that may run several times for one such draw",
            )
        drawn = [] if may_be_merged(self.node) else self.drawn
        shared = next(filter(with_other_reader, (*drawn, *self.factors, *self.products)), None)
        if shared is not None:
            raise Left(self.node, used_elsewhere(shared))
        self._check_shape(x)

    def nodes(self) -> set[ir.Node]:
        """Those that compute what is between the draw and RReLU's result."""
        values = (*self.drawn, *self.factors, *self.products)
        return {node for value in values if (node := value.producer()) is not None}

    def _check_shape(self, x: ir.Value) -> None:
        if self.node.op_type == "RandomUniformLike":
            like = operand(self.node)
            if like is None or not same_shape(like, x):
                name = "" if like is None else like.name
                raise Left(self.node, f'its shape is that of "{name}", not known to be that of "{x.name}"')
            return
        known = None if x.shape is None or not x.shape.is_static() else x.shape.numpy()
        if known is None or self._lengths() != known:
            raise Left(self.node, f'its shape is not known to be that of "{x.name}"')

    def _lengths(self) -> tuple[int, ...] | None:
        """Of slopes that RandomUniform draws; None where they are not constant, or are none."""
        drawn = self.node.attributes.get("shape")
        if drawn is None or drawn.is_ref() or drawn.type != ir.AttributeType.INTS:
            return None  # a function's attribute, or one that onnx refuses
        return () if any(map(_is_scalar, self.drawn)) else tuple(drawn.as_ints())


def used_elsewhere(value: ir.Value) -> str:
    """Why a form stays in which something else reads a value."""
    return f'"{value.name}" is used elsewhere, or is an output'


def slope_of(value: ir.Value | None) -> Slope | None:
    """The random slope that a value is, through Cast, Identity, and sums and products with constants."""
    after: list[ir.Value] = []
    while value is not None:
        after.append(value)
        if node := is_op(value, "RandomUniform", "RandomUniformLike"):
            return _computed(node, after)
        value = _before(value)
    return None


def _before(value: ir.Value) -> ir.Value | None:
    if node := is_op(value, "Identity"):
        return operand(node)
    if node := is_op(value, "Cast", "CastLike"):
        return operand(node) if dtype_of(value) in {*FLOATS, None} else None
    if (node := is_op(value, "Squeeze")) and _is_scalar(value):  # ONNX Runtime draws no scalars
        return operand(node)
    if (node := is_op(value, "Add", "Sub", "Mul", "Div")) and len(node.inputs) == 2:
        varying = [each for each in node.inputs if constant(each) is None]
        divides = node.op_type == "Div" and varying == [node.inputs[1]]
        return varying[0] if len(varying) == 1 and not divides else None
    return None


def _is_scalar(value: ir.Value) -> bool:
    return value.shape is not None and len(value.shape) == 0


def _computed(node: ir.Node, values: list[ir.Value]) -> Slope:
    slope = Slope(node, drawn=values)
    for value in reversed(values[:-1]):
        after = value.producer()
        assert after is not None
        if after.op_type in {"Add", "Sub", "Mul", "Div"}:
            _apply(slope, after)
    if not (math.isfinite(slope.scale) and math.isfinite(slope.offset)):
        raise Left(node, "what is computed of it is not finite")
    return slope


def _apply(slope: Slope, node: ir.Node) -> None:
    left, right = (constant(each) for each in node.inputs)
    number = left if right is None else right
    assert number is not None
    match node.op_type:
        case "Mul":
            slope.scale, slope.offset = slope.scale * number, slope.offset * number
        case "Div":
            factor = 1 / number if number else math.inf
            slope.scale, slope.offset = slope.scale * factor, slope.offset * factor
        case "Add":
            slope.offset += number
        case "Sub" if right is not None:
            slope.offset -= number
        case "Sub":
            slope.scale, slope.offset = -slope.scale, number - slope.offset
