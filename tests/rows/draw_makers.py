"""Makers of random graphs: nodes that draw, each row at a step of its own or at a wrong one."""

from __future__ import annotations

import math

from onnx import TensorProto

from tests.rows.growth import GROWN, Grown, Growth


def draw(g: Growth) -> None:
    """Where another dimension is as long as there are rows, the steps may lie along it."""
    x = g.value(least=1)
    step = g.one_of([_steps, _steps, _steps, _steps, _changed, _wrong])(g)
    g.add("RRelu", [x, step], x.limit, training=int(g.number(0, 5) > 0), seed=g.number(0, 9))


def _steps(g: Growth) -> Grown:
    return g.steps()


def _changed(g: Growth) -> Grown:
    """Other steps, computed row by row."""
    op, other = g.one_of(["Add", "Mul", "Sub"]), g.ints([g.number(-9, 9)])
    return g.add(op, [g.steps(), other], math.inf)[0]


def _wrong(g: Growth) -> Grown:
    """Steps that depend on other rows, or on what is rounded, or that are the same for all."""
    step = g.steps()
    largest = g.add_with_axes("ReduceMax", step, [0], math.inf, since=18)
    wrong = [
        largest,
        *g.add("Sub", [step, largest], math.inf),
        *g.add("CumSum", [step, g.ints(0)], math.inf),
        *g.add("Cast", [g.value(least=1)], math.inf, to=TensorProto.INT64),
        *g.add("Add", [step, g.rows()], math.inf),
        g.ints(list(range(GROWN))),
        g.ints(5),
    ]
    return g.one_of(wrong)


OFTEN = [draw]
MAKERS = [draw]
