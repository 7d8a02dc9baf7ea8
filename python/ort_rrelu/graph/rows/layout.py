"""Where the rows are after operators that move, cut and join axes."""

from __future__ import annotations

import math
from typing import Any

from ort_rrelu.graph.rows.values import COUNTS, Call, MixingError, Rows, Size, Value, regroup

_ALONG = "works along the batch: a row's answer depends on the others"
_WHOLE = 2**31 - 1  # what exporters write for "to the end", and more


def depends_on_rows() -> MixingError:
    """Why a node is none that keeps rows apart when it works along their axis."""
    return MixingError(_ALONG)


def along(call: Call, *, default: int = -1) -> Rows:
    """Work along the attribute "axis"; input 0 alone has rows."""
    call.only(0)
    rows = call.rows()
    if call.axis(default) == rows.axis:
        raise depends_on_rows()
    return rows


def reduced(call: Call, *, since: int = 18) -> Rows:
    """A reduction over axes, which are an input from opset `since` on."""
    call.only(0)
    return without(call.rows(), reduced_axes(call, since=since), keep=bool(call.attribute("keepdims", 1)))


def reduced_axes(call: Call, *, since: int = 18) -> list[int]:
    """The axes that a reduction uses up."""
    axes = call.axes(1, since=since)
    if axes:
        return axes
    return [] if call.attribute("noop_with_empty_axes", 0) else list(range(call.rank()))


def without(rows: Rows, axes: list[int], *, keep: bool = False) -> Rows:
    """The rows when these axes are used up; keep: when they have one element afterwards."""
    if rows.axis in axes:
        raise depends_on_rows()
    return rows if keep else rows.at(rows.axis - sum(axis < rows.axis for axis in set(axes)))


def transpose(call: Call) -> Rows:
    """Transpose."""
    perm = call.attribute("perm", list(range(call.rank()))[::-1])
    return call.rows().at(list(perm).index(call.rows().axis))


def reshape(call: Call) -> Rows:
    """Reshape, by numbers among which there may be the number of rows."""
    data, shape = call.need(0), call.need(1)
    rows = call.rows()
    if shape.numbers is None or shape.rows is not None:
        raise MixingError("takes a shape that is not known")
    dims: list[Any] = list(shape.numbers.flat)
    if not call.attribute("allowzero", 0):
        if any(dim == 0 and at >= call.rank() for at, dim in enumerate(dims)):
            raise MixingError("takes a shape that is not known")
        dims = [data.dims[at] if dim == 0 else dim for at, dim in enumerate(dims)]
    unknown = [at for at, dim in enumerate(dims) if dim == -1]
    if len(unknown) > 1 or any(not isinstance(dim, Size) and (dim is None or dim < -1) for dim in dims):
        raise MixingError("takes a shape that is not known")
    for at in unknown:
        dims[at] = _rest(data, rows, [dim for dim in dims if dim != -1])
    return regroup(data, [dim if isinstance(dim, Size) else int(dim) for dim in dims])


def _rest(data: Value, rows: Rows, dims: list[Any]) -> int | Size:
    """The dimension that -1 stands for."""
    others: list[Any] = [dim for at, dim in enumerate(data.dims) if at != rows.axis]
    if None in others:
        raise MixingError("works on a value with unknown dimensions")
    count = math.prod(others) * rows.size.times
    given = math.prod(dim.times if isinstance(dim, Size) else int(dim) for dim in dims)
    if not given or count % given:
        raise MixingError("takes a shape that cuts rows: elements of several rows are joined")
    return count // given if any(isinstance(dim, Size) for dim in dims) else Size(count // given)


def flatten(call: Call) -> Rows:
    """Flatten."""
    axis, dims = int(call.attribute("axis", 1)), call.need(0).dims
    axis += len(dims) if axis < 0 else 0
    call.rows()
    return regroup(call.need(0), [_product(dims[:axis]), _product(dims[axis:])])


def _product(dims: list[int | Size | None]) -> int | Size:
    product: int | Size = 1
    for dim in dims:
        if dim is None:
            raise MixingError("works on a value with unknown dimensions")
        product = dim * product
    return product


def squeeze(call: Call) -> Rows:
    """Squeeze, of axes that are given: else the batch would vanish where there is one row."""
    axes = call.axes(1, since=13)
    if axes is None:
        raise MixingError("takes every axis of one element away: the batch too, where there is one row")
    return without(call.rows(), axes)


def unsqueeze(call: Call) -> Rows:
    """Unsqueeze."""
    added = call.attribute("axes", []) if call.opset < 13 else call.numbers(1)
    rank = call.rank() + len(added)
    axes = {int(axis) % rank for axis in added}
    return call.rows().at([axis for axis in range(rank) if axis not in axes][call.rows().axis])


def concat(call: Call) -> Rows:
    """Concat of values that all have rows."""
    rows = {value.rows for value in call.inputs if value is not None}
    (first, *more) = rows
    if more or first is None:
        raise MixingError("joins values that carry the batch differently")
    if call.axis(0) == first.axis:
        raise depends_on_rows()
    return first


def slices(call: Call) -> Rows:
    """Slice of other axes, or of all rows."""
    rows = call.rows()
    call.only(0)
    if call.opset < 10:
        starts: list[Any] = list(call.attribute("starts", []))
        ends, steps = list(call.attribute("ends", [])), [1] * len(starts)
    else:
        if not call.need(2).sized and rows.axis not in (call.axes(3, since=10) or [rows.axis]):
            return rows
        starts, ends = list[Any](call.numbers(1)), _elements(call.need(2))
        steps = list[Any](call.numbers(4)) if call.given(4) else [1] * len(starts)
    axes = call.axes(3, since=10)
    for axis, start, end, step in zip(
        range(len(starts)) if axes is None else axes, starts, ends, steps, strict=True
    ):
        if axis != rows.axis and isinstance(end, Size):
            raise MixingError(COUNTS)
        to_end = end == rows.size or (not isinstance(end, Size) and end >= _WHOLE)
        if axis == rows.axis and not (start == 0 and step == 1 and to_end):
            raise depends_on_rows()
    return rows


def _elements(value: Value) -> list[Any]:
    if value.numbers is None:
        raise MixingError("computes an input on which the place of the rows depends")
    return list(value.numbers.flat)


def gather(call: Call) -> Rows:
    """Gather along another axis, or of rows of indices from a table."""
    data, indices = call.need(0), call.need(1)
    axis = call.axis(0)
    if data.rows is None and indices.rows is not None:
        return indices.rows.at(axis + indices.rows.axis)
    call.only(0)
    rows = call.rows()
    if axis == rows.axis:
        raise depends_on_rows()
    return rows if rows.axis < axis else rows.at(rows.axis - 1 + call.rank(1))


def one_hot(call: Call) -> Rows:
    """OneHot of indices with rows."""
    call.only(0)
    rows, axis = call.rows(), call.axis(-1, rank=call.rank() + 1)
    return rows if rows.axis < axis else rows.at(rows.axis + 1)


def pad(call: Call) -> Rows:
    """Pad of other axes."""
    call.only(0)
    rows, rank = call.rows(), call.rank()
    pads = list(call.attribute("pads", [])) if call.opset < 11 else call.numbers(1)
    axes = (call.axes(3, since=18) if call.opset >= 18 else None) or list(range(rank))
    for axis, before, after in zip(axes, pads[: len(pads) // 2], pads[len(pads) // 2 :], strict=True):
        if axis == rows.axis and (before or after):
            raise depends_on_rows()
    return rows


def tile(call: Call) -> Rows:
    """Tile; rows that are repeated keep their order within each copy."""
    call.only(0)
    rows = call.rows()
    times = int(call.numbers(1)[rows.axis])
    if times < 1:
        raise MixingError("repeats the rows no time")
    return Rows(rows.axis, rows.outer * times, rows.inner)


def expand(call: Call) -> Rows:
    """Expand and ConstantOfShape: to a shape among whose dimensions there may be the number of rows."""
    *data, shape = (value for value in call.inputs if value is not None)
    if shape.rows is not None or shape.numbers is None or shape.numbers.ndim != 1:
        raise MixingError("takes a shape that is not known")
    dims = list(shape.numbers.flat)
    found = {at - len(dims): dim for at, dim in enumerate(dims) if isinstance(dim, Size)}
    for value in data:
        if value.rows is not None:
            at = value.rows.axis - len(value.known_shape())
            dim = dims[at] if -at <= len(dims) else 1
            if dim not in (1, value.rows.size):
                raise MixingError("takes a shape with another number of rows")
            others = set(found) - {at}
            rows = value.rows.at(max(len(dims), len(value.known_shape())) + at)
            return _single(others, rows)
    if len(found) != 1:
        raise MixingError("takes a shape that has the number of rows twice")
    ((at, size),) = found.items()
    if size.more or size.times < 1:
        raise MixingError("takes a shape in which no axis is a multiple of the number of rows")
    for value in data:
        if -at <= len(value.known_shape()) and value.known_shape()[at] != 1:
            raise MixingError("takes a shape with another number of rows")
    rank = max([len(dims), *(len(value.known_shape()) for value in data)])
    return Rows(rank + at, 1, size.times)


def _single(others: set[int], rows: Rows) -> Rows:
    if others:
        raise MixingError("takes a shape that has the number of rows twice")
    return rows


# Modes in which a factor of 1 leaves an axis as it is.
_EXACT = {b"half_pixel", b"half_pixel_symmetric", b"pytorch_half_pixel", b"align_corners", b"asymmetric"}


def resize(call: Call) -> Rows:
    """Resize and Upsample, of other axes."""
    call.only(0)
    rows, rank = call.rows(), call.rank()
    if call.attribute("mode", b"nearest") != b"nearest" and (rank not in (4, 5) or rows.axis):
        raise MixingError("may blend rows: it is known for images with the batch on their first axis")
    if call.attribute("coordinate_transformation_mode", b"half_pixel") not in _EXACT:
        raise MixingError("resizes in a mode in which rows may be blended")
    if call.attribute("keep_aspect_ratio_policy", b"stretch") != b"stretch":
        raise MixingError("resizes by factors that depend on the number of rows")
    axes = [int(axis) % rank for axis in call.attribute("axes", range(rank))]
    sizes = _elements(call.need(3)) if call.given(3) else []
    if any(isinstance(size, Size) for axis, size in zip(axes, sizes, strict=False) if axis != rows.axis):
        raise MixingError(COUNTS)
    if rows.axis not in axes:
        return rows
    at = axes.index(rows.axis)
    if call.op == "Upsample" or call.opset < 11:
        scales = list(call.attribute("scales", [])) or call.numbers(1)
        unchanged = scales[at] == 1
    elif sizes:
        unchanged = sizes[at] == rows.size
    else:
        unchanged = call.numbers(2)[at] == 1
    if not unchanged:
        raise depends_on_rows()
    return rows
