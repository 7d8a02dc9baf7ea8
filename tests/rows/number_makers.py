"""Makers of random graphs: element by element, along an axis, and the number of rows."""

from __future__ import annotations

import math

import numpy as np
from onnx import TensorProto, helper

from tests.rows.growth import GROWN, Grown, Growth, UnfitError

_UNARY = ("Relu", "Neg", "Abs", "Identity", "LeakyRelu", "Tanh", "Sigmoid", "Softplus", "Dropout", "RRelu")
_WHOLE = ("Relu", "Neg", "Abs", "Identity", "Dropout")  # of whole numbers they make whole numbers


def _unary(g: Growth) -> None:
    x, op = g.value(), g.one_of(_UNARY)
    g.add(op, [x], x.limit if op in _WHOLE else math.inf)


def _binary(g: Growth) -> None:
    left, right = g.shuffled([g.value(), g.value()])
    _join(g, left, right)


def _with_constant(g: Growth) -> None:
    x = g.value()
    shape = [dim if g.number(0, 1) else 1 for dim in x.shape][g.number(0, x.rank) :]
    _join(g, *g.shuffled([x, g.constant(shape)]))


def _join(g: Growth, left: Grown, right: Grown) -> None:
    op = g.one_of(["Add", "Sub", "Mul", "Max", "Min"])
    limit = left.limit * right.limit if op == "Mul" else left.limit + right.limit
    g.add(op, [left, right], limit)


def _prelu(g: Growth) -> None:
    x = g.value(least=1)
    shape = [dim if g.number(0, 1) else 1 for dim in x.shape][g.number(0, x.rank - 1) :]
    g.add("PRelu", [x, g.constant(shape)], x.limit * 2)


def _where(g: Growth) -> None:
    x, z, other = g.value(exact=True), g.value(exact=True), g.value()
    (condition,) = g.add("Greater", [x, z], math.inf)
    g.add("Where", [condition, other, g.one_of([x, g.constant([])])], x.limit + other.limit)


def _along(g: Growth) -> None:
    x, op = g.value(least=1, exact=True), g.one_of(["Softmax", "LogSoftmax", "Hardmax", "LpNormalization"])
    g.add(op, [x], 1 if op == "Hardmax" else math.inf, axis=g.axis(x))


def _softmax(g: Growth) -> None:
    x = g.value(least=1)
    g.add("Softmax", [x], math.inf, axis=g.axis(x))


def _reduce(g: Growth) -> None:
    x, op = g.value(least=1), g.one_of(["ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceL1"])
    axes = g.some([axis - x.rank * g.number(0, 1) for axis in range(x.rank)][g.number(0, 1) :])
    limit = {"ReduceMean": math.inf, "ReduceMax": x.limit, "ReduceMin": x.limit}.get(op, x.limit * 600)
    keepdims = g.number(0, 1)
    since = 13 if op == "ReduceSum" else 18
    if not axes and g.number(0, 4):
        raise UnfitError
    g.add_with_axes(op, x, axes or None, limit, since=since, keepdims=keepdims)


def _arg(g: Growth) -> None:
    x = g.value(least=1, exact=True)
    (places,) = g.add(g.one_of(["ArgMax", "ArgMin"]), [x], 600, axis=g.axis(x), keepdims=g.number(0, 1))
    if g.number(0, 1):
        g.add("Cast", [places], 600, to=TensorProto.FLOAT)
    else:
        g.add("Gather", [g.constant([max(x.shape), g.number(1, 2)]), places], 2, axis=0)


def _top(g: Growth) -> None:
    x = g.value(least=1, exact=True)
    g.add("TopK", [x, g.ints([1])], x.limit, outputs=2, axis=g.axis(x))


def _cumulative(g: Growth) -> None:
    x = g.value(least=1)
    g.add("CumSum", [x, g.ints(g.axis(x))], x.limit * 600)


def _one_hot(g: Growth) -> None:
    x = g.value(least=1, exact=True)
    (places,) = g.add("ArgMax", [x], 600, axis=g.axis(x), keepdims=0)
    values = g.known(f"c{len(g.constants)}", np.array([0, 1], np.float32))
    g.add("OneHot", [places, g.ints(4), values], 1, axis=g.number(-1, 1))


def _normalize(g: Growth) -> None:
    x, op = (
        g.value(ranks=(2, 3, 4), exact=True),
        g.one_of(["Layer", "Variance", "Instance", "Batch", "Response"]),
    )
    channels = g.constant([x.shape[1]])
    if op == "Layer":
        axis = g.axis(x)
        g.add("LayerNormalization", [x, g.constant(x.shape[axis:])], math.inf, axis=axis)
    elif op == "Variance":
        axes = g.some(range(x.rank))
        g.add("Identity", [x], math.inf)
        g.nodes[-1].op_type = "MeanVarianceNormalization"
        g.nodes[-1].attribute.append(helper.make_attribute("axes", axes))
    elif op == "Instance":
        g.add("InstanceNormalization", [x, channels, channels], math.inf)
    elif op == "Batch":
        positive = g.known(f"c{len(g.constants)}", np.ones(x.shape[1], np.float32))
        g.add("BatchNormalization", [x, channels, channels, channels, positive], math.inf)
    else:
        g.add("LRN", [x], math.inf, size=3)


def _triangle(g: Growth) -> None:
    x = g.value(least=2)
    g.add("Trilu", [x], x.limit, upper=g.number(0, 1))


def _quantize(g: Growth) -> None:
    x = g.value(least=1, exact=True)
    if g.number(0, 1):
        quantized, scale, zero = g.add("DynamicQuantizeLinear", [x], math.inf, outputs=3)
        g.add("DequantizeLinear", [quantized, scale, zero], math.inf)
        return
    axis = g.axis(x)
    scale = g.known(f"c{len(g.constants)}", np.full(g.one_of([[], [x.shape[axis]]]), 0.5, np.float32))
    attributes = {"axis": axis} if g.opset >= 13 else {}
    (quantized,) = g.add("QuantizeLinear", [x, scale], math.inf, **attributes)
    g.add("DequantizeLinear", [quantized, scale], math.inf, **attributes)


def _count(g: Growth) -> None:
    """The number of rows, or of elements, as a number."""
    x = g.value()
    counted = g.rows() if g.number(0, 1) else g.computed("Size", [x], math.prod(x.shape))
    (number,) = g.add("Cast", [counted], 600, to=TensorProto.FLOAT)
    g.add(g.one_of(["Add", "Mul"]), [x, number], math.inf)


def _places(g: Growth) -> None:
    """0, 1, 2 ... for the rows, or for a number that is written down."""
    x = g.value(least=1)
    limit = g.ints(x.shape[-1])
    if g.number(0, 1):
        limit = g.computed("Squeeze", [g.rows()], GROWN)
    (places,) = g.add("Range", [g.ints(0), limit, g.ints(1)], 600)
    (numbers,) = g.add("Cast", [places], 600, to=TensorProto.FLOAT)
    g.add("Add", [x, numbers], x.limit + 600)


OFTEN = [_unary, _binary, _with_constant, _softmax, _reduce]
MAKERS = [
    _unary,
    _binary,
    _with_constant,
    _prelu,
    _where,
    _along,
    _softmax,
    _reduce,
    _arg,
    _top,
    _cumulative,
    _one_hot,
    _normalize,
    _triangle,
    _quantize,
    _count,
    _places,
]
