"""Draw: uniform numbers, one for each element of X, followed back to the node that draws them."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import onnx_ir as ir

from ort_rrelu import library
from ort_rrelu.errors import InvalidValueError
from ort_rrelu.graph.fusing.left import Left, described
from ort_rrelu.graph.fusing.values import (
    FLOATS,
    constant,
    dtype_of,
    is_op,
    operand,
    same_shape,
    with_other_reader,
)

__all__ = ["Draw", "draw_of"]


@dataclass
class Draw:
    """Numbers from `scale` * U(low, high) + `offset`, as `node` and what stands after it compute them.

    `through` are the values between the draw and RReLU's result, `products` those that are x * draw already.
    """

    node: ir.Node
    scale: float = 1.0
    offset: float = 0.0
    through: list[ir.Value] = field(default_factory=list)
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
        """The seed attribute as RRelu's.

        ONNX has it as a float. Its integer part where that is from 0 to 2^63 - 1, which is what ONNX Runtime
        takes of it; else the 32 bits of the float, so that it stays fixed.
        """
        if "seed" not in self.node.attributes:
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
        for value in (*self.through, *self.products):
            if with_other_reader(value):
                raise Left(self.node, f'"{value.name}" is used elsewhere, or is an output')
        self._check_shape(x)

    def _check_shape(self, x: ir.Value) -> None:
        if self.node.op_type == "RandomUniformLike":
            like = operand(self.node)
            if like is None or not same_shape(like, x):
                name = "" if like is None else like.name
                raise Left(self.node, f'its shape is that of "{name}", not known to be that of "{x.name}"')
            return
        drawn = self.node.attributes.get("shape")
        known = None if x.shape is None or not x.shape.is_static() else x.shape.numpy()
        if drawn is None or drawn.is_ref() or known is None or tuple(drawn.as_ints()) != known:
            raise Left(self.node, f'its shape is not known to be that of "{x.name}"')


def draw_of(value: ir.Value | None) -> Draw | None:
    """The draw that a value is, through Cast, Identity, and sums and products with constants."""
    after: list[ir.Value] = []
    while value is not None:
        after.append(value)
        if node := is_op(value, "RandomUniform", "RandomUniformLike"):
            return _draw(node, after)
        value = _before(value)
    return None


def _before(value: ir.Value) -> ir.Value | None:
    if node := is_op(value, "Identity"):
        return operand(node)
    if node := is_op(value, "Cast", "CastLike"):
        return operand(node) if dtype_of(value) in {*FLOATS, None} else None
    if (node := is_op(value, "Add", "Sub", "Mul", "Div")) and len(node.inputs) == 2:
        varying = [each for each in node.inputs if constant(each) is None]
        divides = node.op_type == "Div" and varying == [node.inputs[1]]
        return varying[0] if len(varying) == 1 and not divides else None
    return None


def _draw(node: ir.Node, values: list[ir.Value]) -> Draw:
    draw = Draw(node, through=values)
    for value in reversed(values[:-1]):
        step = value.producer()
        assert step is not None
        if step.op_type in {"Add", "Sub", "Mul", "Div"}:
            _apply(draw, step)
    if not (math.isfinite(draw.scale) and math.isfinite(draw.offset)):
        raise Left(node, "what is computed of it is not finite")
    return draw


def _apply(draw: Draw, step: ir.Node) -> None:
    left, right = (constant(each) for each in step.inputs)
    number = left if right is None else right
    assert number is not None
    match step.op_type:
        case "Mul":
            draw.scale, draw.offset = draw.scale * number, draw.offset * number
        case "Div":
            factor = 1 / number if number else math.inf
            draw.scale, draw.offset = draw.scale * factor, draw.offset * factor
        case "Add":
            draw.offset += number
        case "Sub" if right is not None:
            draw.offset -= number
        case "Sub":
            draw.scale, draw.offset = -draw.scale, number - draw.offset
