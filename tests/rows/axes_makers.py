"""Makers of random graphs: what moves, cuts and joins axes."""

from __future__ import annotations

import math

import numpy as np

from tests.rows.growth import GROWN, Grown, Growth, UnfitError


def _transpose(g: Growth) -> None:
    x = g.value(least=2)
    g.add("Transpose", [x], x.limit, perm=g.shuffled(range(x.rank)))


def _reshape(g: Growth) -> None:
    x = g.value(least=1)
    dims = list(x.shape)
    for _ in range(g.number(1, 2)):
        at = g.number(0, len(dims) - 1)
        if g.number(0, 1) and at + 1 < len(dims):
            dims[at : at + 2] = [dims[at] * dims[at + 1]]
        else:
            factor = g.one_of([n for n in (1, 2, 3, 4) if dims[at] % n == 0])
            dims[at : at + 1] = g.shuffled([factor, dims[at] // factor])
    _reshaped(g, x, dims)


def _reshaped(g: Growth, x: Grown, dims: list[int]) -> Grown:
    """Each dimension is written as it is, as 0 where it is that of the input, or as -1 once."""
    written = [0 if x.shape[at : at + 1] == (dim,) and g.number(0, 1) else dim for at, dim in enumerate(dims)]
    if g.number(0, 2):
        written[g.one_of([at for at, dim in enumerate(dims) if dim % GROWN == 0] or [0])] = -1
    return g.add("Reshape", [x, g.target(written)], x.limit)[0]


def _folded(g: Growth) -> None:
    """Axes folded into the batch, something done, and unfolded again."""
    x = g.value(ranks=(3, 4))
    perm = [0, *g.shuffled(range(1, x.rank))] if g.number(0, 2) else g.shuffled(range(x.rank))
    (moved,) = g.add("Transpose", [x], x.limit, perm=perm)
    folded = _reshaped(g, moved, [math.prod(moved.shape[:-1]), moved.shape[-1]])
    (done,) = g.add("Softmax", [folded], math.inf, axis=g.one_of([1, 1, 1, 0]))
    unfolded = _reshaped(g, done, list(moved.shape))
    g.add("Transpose", [unfolded], math.inf, perm=np.argsort(perm).tolist())


def _there_and_back(g: Growth) -> None:
    """Something done with the axes in another order."""
    x = g.value(ranks=(2, 3, 4))
    perm = g.shuffled(range(x.rank))
    (moved,) = g.add("Transpose", [x], x.limit, perm=perm)
    (done,) = g.add(g.one_of(["Softmax", "LogSoftmax"]), [moved], math.inf, axis=g.axis(moved))
    g.add("Transpose", [done], math.inf, perm=np.argsort(perm).tolist())


def _flatten(g: Growth) -> None:
    x = g.value(least=1)
    g.add("Flatten", [x], x.limit, axis=g.number(0, x.rank))


def _squeeze(g: Growth) -> None:
    x = g.value(least=1)
    ones = [axis for axis, dim in enumerate(x.shape) if dim == 1]
    g.add_with_axes("Squeeze", x, g.some(ones) if ones and g.number(0, 3) else None, x.limit)


def _unsqueeze(g: Growth) -> None:
    x = g.value()
    g.add_with_axes("Unsqueeze", x, [g.number(-x.rank - 1, x.rank)], x.limit)


def _concat(g: Growth) -> None:
    x = g.value(least=1)
    axis = g.axis(x)
    alike = [v for v in g.values if v.rank == x.rank and v.dtype == x.dtype]
    other = g.one_of([*alike, g.constant(x.shape)])
    g.add("Concat", g.shuffled([x, other]), max(x.limit, other.limit), axis=axis)


def _slice(g: Growth) -> None:
    x = g.value(least=1)
    axis = g.axis(x)
    start, end = g.one_of([0, 0, 1, -2]), g.one_of([2**63 - 1, x.shape[axis], x.shape[axis] - 1, 2])
    inputs = [g.ints([start]), g.ints([end]), g.ints([axis]), g.ints([1])]
    if g.number(0, 4) == 0:
        inputs = [g.ints([-1]), g.ints([-(2**31)]), g.ints([axis]), g.ints([-1])]
    if end == GROWN and g.number(0, 1):
        inputs[1] = g.rows()
    g.add("Slice", [x, *inputs], x.limit)


def _split(g: Growth) -> None:
    x = g.value(least=1)
    axis = g.axis(x)
    sizes = [1, x.shape[axis] - 1]
    if sizes[1] < 1:
        raise UnfitError
    if g.opset < 13:
        g.add("Split", [x], x.limit, outputs=2, axis=axis, split=sizes)
    else:
        g.add("Split", [x, g.ints(sizes)], x.limit, outputs=2, axis=axis)


def _gather(g: Growth) -> None:
    x = g.value(least=1)
    axis = g.axis(x)
    indices = g.one_of([0, [0], [-1, 0], [[0, 0], [-1, 0]]])
    g.add("Gather", [x, g.ints(indices)], x.limit, axis=axis)


def _gather_nd(g: Growth) -> None:
    x = g.value(least=2)
    g.add("GatherND", [x, g.ints([[0], [-1]])], x.limit)


def _pad(g: Growth) -> None:
    x = g.value(least=1)
    pads = [0] * (2 * x.rank)
    pads[g.axis(x) % x.rank + g.one_of([0, x.rank])] = 1
    g.add("Pad", [x, g.ints(pads)], x.limit, mode=g.one_of(["constant", "edge"]))


def _tile(g: Growth) -> None:
    x = g.value(least=1)
    repeats = [1] * x.rank
    repeats[g.axis(x)] = 2
    g.add("Tile", [x, g.ints(repeats)], x.limit)


def _expand(g: Growth) -> None:
    x = g.one_of([g.value(), g.constant([g.one_of([1, 2])])])
    dims = [g.one_of([1, dim, 2, GROWN]) if dim == 1 else g.one_of([1, dim]) for dim in x.shape]
    dims = [g.one_of([2, GROWN])] * g.number(0, 1) + dims
    if not dims:
        raise UnfitError
    g.add("Expand", [x, g.target(dims)], x.limit)


def _zeros(g: Growth) -> None:
    dims = g.shuffled([GROWN, g.one_of([1, 2, GROWN])])
    g.add("ConstantOfShape", [g.target(dims)], 0)


OFTEN = [_reshape, _transpose, _folded]
MAKERS = [
    _transpose,
    _reshape,
    _folded,
    _there_and_back,
    _flatten,
    _squeeze,
    _unsqueeze,
    _concat,
    _slice,
    _split,
    _gather,
    _gather_nd,
    _pad,
    _tile,
    _expand,
    _zeros,
]
