"""What is known of a value in onnx_ir's graph: shape, type, constant, and whether it is random slopes."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import onnx_ir as ir

from ort_rrelu import library, schema
from ort_rrelu.errors import InvalidValueError
from ort_rrelu.graph.nodes import is_standard


class Left(Exception):  # noqa: N818  # not an error: the model is as valid as before
    """`draw`, a RandomUniform or RandomUniformLike node, stays where it is, and the message says why."""

    def __init__(self, draw: ir.Node, reason: str) -> None:
        super().__init__(reason)
        self.draw, self.reason = draw, reason


def described(node: ir.Node) -> str:
    """How reasons call a node."""
    if node.name:
        return f'{node.op_type} node "{node.name}"'
    return f'{node.op_type} node with output "{node.outputs[0].name if node.outputs else ""}"'


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
# The forms of a Constant that hold numbers.
_CONSTANT_FORMS = {
    "value": ir.AttributeType.TENSOR,
    "value_float": ir.AttributeType.FLOAT,
    "value_floats": ir.AttributeType.FLOATS,
    "value_int": ir.AttributeType.INT,
    "value_ints": ir.AttributeType.INTS,
}

# One input, which gives the output its shape.
_KEEP_SHAPE = (
    *("Abs", "Cast", "Clip", "Elu", "Erf", "Exp", "HardSigmoid", "HardSwish", "Identity", "LeakyRelu", "Log"),
    *("Mish", "Neg", "Relu", "Selu", "Sigmoid", "Sign", "Softmax", "Softplus", "Softsign", "Sqrt", "Tanh"),
)


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
    node = is_op(value, "Constant")
    if node is not None and any(_CONSTANT_FORMS.get(a.name) != a.type for a in node.attributes.values()):
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


@dataclass
class Slope:
    """Random slopes: `scale` * U(low, high) + `offset`, drawn by `node` and computed by what stands after it.

    `through` are the values between that node and RReLU's result, `products` those that are x * slope.
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
        if drawn is None or drawn.is_ref() or drawn.type != ir.AttributeType.INTS:
            drawn = None  # a function's attribute, or one that onnx refuses
        if drawn is None or known is None or tuple(drawn.as_ints()) != known:
            raise Left(self.node, f'its shape is not known to be that of "{x.name}"')


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
    if (node := is_op(value, "Add", "Sub", "Mul", "Div")) and len(node.inputs) == 2:
        varying = [each for each in node.inputs if constant(each) is None]
        divides = node.op_type == "Div" and varying == [node.inputs[1]]
        return varying[0] if len(varying) == 1 and not divides else None
    return None


def _computed(node: ir.Node, values: list[ir.Value]) -> Slope:
    slope = Slope(node, through=values)
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
