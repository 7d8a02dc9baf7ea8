"""What all rows give together, such as a mean over the batch: the same in whatever order the rows stand."""

from __future__ import annotations

from dataclasses import replace

from ort_rrelu.graph.rows.layout import reduced_axes
from ort_rrelu.graph.rows.rules import ELEMENTWISE, REDUCTIONS
from ort_rrelu.graph.rows.values import Call


def may_compute(call: Call) -> bool:
    """May the operator compute with the number of rows, as a mean does that divides by it?"""
    return call.op in ELEMENTWISE


def with_counts(call: Call) -> Call:
    """The call, where the number of rows is a number among others if it does no more than compute with it."""
    if not may_compute(call):
        return call
    inputs = [replace(v, numbers=None) if v is not None and v.sized else v for v in call.inputs]
    return replace(call, inputs=inputs)


def reduces_rows(call: Call) -> bool:
    """Is it a reduction of all rows, whose order has then no influence?

    Raises MixingError when its axes are not known.
    """
    if call.op not in REDUCTIONS or not call.given(0) or call.need(0).rows is None:
        return False
    call.only(0)
    return call.rows().axis in reduced_axes(call, since=REDUCTIONS[call.op])
