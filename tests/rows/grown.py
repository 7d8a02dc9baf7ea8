"""Random models, of which some keep the rows of a batch apart and others mix them."""

from __future__ import annotations

from collections.abc import Callable

import onnx
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto

from tests.rows import axes_makers, draw_makers, layer_makers, number_makers
from tests.rows.growth import GROWN, Grown, Growth, UnfitError

_FILES = (axes_makers, draw_makers, layer_makers, number_makers)
_MAKERS = [maker for file in _FILES for maker in (*file.MAKERS, *file.OFTEN, *file.OFTEN)]


def grown_model(seed: int, size: int) -> onnx.ModelProto:
    """A model with one or two inputs and outputs that begin with the batch, and about as many nodes."""
    g = Growth(seed)
    for _ in range(g.one_of([1, 1, 2])):
        g.input(tuple(g.one_of([1, 2, 3, 4]) for _ in range(g.one_of([0, 1, 2, 2, 3, 3]))))
    first = [draw_makers.draw] * g.number(0, 1)
    for _ in range(20):
        if len(g.nodes) >= size:
            break
        try:
            (first.pop() if first else g.one_of(_MAKERS))(g)
        except UnfitError:
            continue
    outputs = {value.name: value for value in (_output(g) for _ in range(g.one_of([1, 1, 2])))}
    return g.model(list(outputs.values()))


def for_grown_models(check: Callable[[onnx.ModelProto, int], None], cases: int) -> None:
    """Call check(model, seed) for so many of them."""

    @settings(max_examples=cases, database=None, suppress_health_check=list(HealthCheck))
    @given(st.integers(0, 2**63), st.integers(4, 14))
    def grow(seed: int, size: int) -> None:
        check(grown_model(seed, size), seed)

    grow()


def _output(g: Growth) -> Grown:
    """One of the last values, with an axis in front that is as long as there are rows."""
    x = g.one_of([v for v in g.values if v.dtype == TensorProto.FLOAT and GROWN in v.shape][-3:])
    axis = g.one_of([0] * (x.shape[0] == GROWN) or [at for at, dim in enumerate(x.shape) if dim == GROWN])
    perm = [axis, *(at for at in range(x.rank) if at != axis)]
    return g.add("Transpose", [x], x.limit, perm=perm)[0]
