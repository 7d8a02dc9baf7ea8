"""RRelu and RReluGrad as functions.

One body serves all dtypes, so it cannot name T: CastLike leads back to it. Each `If` has a constant
condition, so that a runtime may drop it with the branches that are not taken.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np
import onnx
from numpy.typing import DTypeLike
from onnx import helper

from ort_rrelu import schema
from ort_rrelu.functions.body import Body
from ort_rrelu.functions.stream import attribute, slopes

OLDEST_OPSET = 18  # the first with bitwise operators

Bounds = tuple[float, float]


class Shape(NamedTuple):
    """What the nodes of a model list: a node with fewer outputs than its function ends an old runtime."""

    step: bool
    noise: bool

    @property
    def inputs(self) -> tuple[str, ...]:
        return ("X", "step") if self.step else ("X",)

    @property
    def outputs(self) -> tuple[str, ...]:
        return ("Y", "noise") if self.noise else ("Y",)


def rrelu(shape: Shape, opset: int, usual: Bounds | None = None) -> onnx.FunctionProto:
    """RRelu for a model of that opset.

    usual: bounds for which eval mode takes a LeakyRelu, whose slope must be written down beforehand; an
    attribute cannot be computed from others. Nodes with other bounds give the same bits, more slowly.
    """
    body = Body("v")
    training = body("Cast", attribute(body, "training"), to=onnx.TensorProto.BOOL)
    body.either(training, _train(shape, opset), _eval(shape, usual), outs=shape.outputs)
    attributes = sorted(schema.schemas()[schema.RRELU].attributes)
    return _function(schema.RRELU, shape.inputs, shape.outputs, body, opset, attributes)


@functools.cache
def rrelu_in_one_mode(shape: Shape, opset: int, *, training: bool, seeded: bool) -> onnx.FunctionProto:
    """One branch of RRelu, to be copied for a node. seeded: the seed is 0 or more."""
    body = _train(shape, opset, seeded=seeded) if training else _eval(shape, None)
    attributes = sorted(schema.schemas()[schema.RRELU].attributes)
    return _function(schema.RRELU, shape.inputs, body.results, body, opset, attributes)


def rrelu_grad(opset: int) -> onnx.FunctionProto:
    """RReluGrad from noise."""
    body = Body("v")
    # In double the product of what the other types hold is exact.
    dy, saved = (body.to_double(as_stored(body, value)) for value in ("dY", "saved"))
    product = body("Mul", dy, saved)
    body("CastLike", product, "dY", out="dX")
    return _function(schema.RRELU_GRAD, ("dY", "saved"), ("dX",), body, opset, [])


def _function(
    name: str,
    inputs: tuple[str, ...],
    outputs: tuple[str, ...],
    body: Body,
    opset: int,
    attributes: list[str],
) -> onnx.FunctionProto:
    imports = [helper.make_opsetid("", opset)]
    function = helper.make_function(schema.DOMAIN, name, inputs, outputs, body.nodes, imports, attributes)
    function.doc_string = (
        f"{schema.DOMAIN}:{name} in standard operators, for where the library is not registered."
    )
    return function


def factor(body: Body, x: str, slope: str, dtype: DTypeLike) -> str:
    """The slope where x <= 0, else 1; for NaN too. `dtype` is that of x and slope."""
    leaks = body("LessOrEqual", x, body.constant(0.0, dtype))
    # The slope comes last because ONNX Runtime's Where makes +0 of a -0 that comes first; Xor is used because
    # its optimizer turns Where of Not round.
    keeps = body("Xor", leaks, body.constant(True, np.bool_))
    return body("Where", keeps, body.constant(1.0, dtype), slope)


def as_stored(body: Body, value: str) -> str:
    """A value of a 16-bit type with its rounding, to be cast to a wider type.

    ONNX Runtime's CPU provider casts around what it cannot compute in float16, such as a MatMul before us,
    and takes its cast to float16 and one that follows for superfluous. It does not look through a Reshape.
    """
    return body("Reshape", value, body("Shape", value))


def _train(shape: Shape, opset: int, *, seeded: bool = False) -> Body:
    body = Body("t")
    x = body.to_double(as_stored(body, "X"))  # of which, unlike of bfloat16, ONNX Runtime can take the size
    drawn = body.to_double(body("CastLike", slopes(body, x, opset, step=shape.step, seeded=seeded), "X"))
    # In double the product of what the other types hold is exact.
    body.results = _times(body, x, drawn, np.float64, shape)
    return body


def _times(body: Body, x: str, slope: str, dtype: DTypeLike, shape: Shape) -> tuple[str, ...]:
    noise = factor(body, x, slope, dtype)
    return _like_x(body, shape, body("Mul", x, noise), noise)


def _like_x(body: Body, shape: Shape, *values: str) -> tuple[str, ...]:
    return tuple(body("CastLike", value, "X") for value in values[: len(shape.outputs)])


def _eval(shape: Shape, usual: Bounds | None) -> Body:
    body = Body("e")
    bounds = attribute(body, "lower"), attribute(body, "upper")
    total = body("Add", *(body.to_double(bound) for bound in bounds))
    mean = body("Mul", total, body.constant(0.5, np.float64))
    # The first number above 1 in double is 1 in the other types.
    above_one = body("CastLike", body.constant(np.nextafter(1.0, 2.0), np.float64), "X")
    is_double = body("Greater", body.to_double(above_one), body.constant(1.0, np.float64))
    in_double = Body("d")
    in_double.results = _times(in_double, in_double.to_double("X"), mean, np.float64, shape)
    body.results = body.either(is_double, in_double, _eval_in_float(shape, mean, bounds, usual))
    return body


def _eval_in_float(shape: Shape, mean: str, bounds: tuple[str, str], usual: Bounds | None) -> Body:
    """For 16-bit types too, whose product is rounded to float first."""
    body = Body("f")
    x = _as_stored_unless_float(body)
    # A negative slope changes the sign of +0, which LeakyRelu leaves alone.
    if usual is None or not mean_slope(usual) > 0:
        body.results = _times(body, body.to_float(x), body.to_float(mean), np.float32, shape)
        return body
    equal = (
        body("Equal", value, body.constant(known, np.float32))
        for value, known in zip(bounds, usual, strict=True)
    )
    general = Body("g")
    general.results = _times(general, general.to_float(x), general.to_float(mean), np.float32, shape)
    body.results = body.either(body("And", *equal), _leaky(shape, x, mean, usual), general)
    return body


def _as_stored_unless_float(body: Body) -> str:
    """X; a float comes as it is, for ONNX Runtime fuses a Conv and the LeakyRelu after it."""
    above_one = body("CastLike", body.constant(np.nextafter(np.float32(1), np.float32(2)), np.float32), "X")
    is_float = body("Greater", body.to_float(above_one), body.constant(1.0, np.float32))
    as_it_is, stored = Body("i"), Body("s")
    as_it_is.results = (as_it_is("Identity", "X"),)
    stored.results = (as_stored(stored, "X"),)
    (x,) = body.either(is_float, as_it_is, stored)
    return x


def _leaky(shape: Shape, value: str, mean: str, usual: Bounds) -> Body:
    body = Body("l")
    x = body.to_float(value)  # in each branch: older optimizers warn when they drop a Cast that several read
    y = body("LeakyRelu", x, alpha=mean_slope(usual))
    noise = (factor(body, x, body.to_float(mean), np.float32),) if shape.noise else ()
    body.results = _like_x(body, shape, y, *noise)
    return body


def mean_slope(bounds: Bounds) -> float:
    """The slope of eval mode, as a float has it."""
    lower, upper = (float(np.float32(bound)) for bound in bounds)
    return float(np.float32((lower + upper) / 2))
