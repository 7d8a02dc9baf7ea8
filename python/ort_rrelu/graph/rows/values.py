"""What is known of a value for every number of rows, and a node with what is known of its inputs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from ort_rrelu.errors import Error

# The number of rows for which shapes are inferred: a prime, to stand out.
SAMPLE = 7919


_INTEGERS = {
    getattr(onnx.TensorProto, name)
    for name in ("BOOL", *(f"{sign}INT{bits}" for sign in ("", "U") for bits in (8, 16, 32, 64)))
}


class MixingError(Error):
    """Rows are not known to stay apart; the text says why, after the node's name."""


# Why a number of rows may only become a dimension.
COUNTS = "computes with the number of rows: an answer depends on how many there are"


class NotLinearError(Error):
    """A number is no multiple of the number of rows."""


@dataclass(frozen=True)
class Size:
    """An integer that depends on the number of rows: times * rows + more."""

    times: int
    more: int = 0

    @property
    def sample(self) -> int:
        """Its value for SAMPLE rows."""
        return self.times * SAMPLE + self.more

    def __add__(self, other: object) -> Size | int:
        times, more = _parts(other)
        return _size(self.times + times, self.more + more)

    __radd__ = __add__

    def __neg__(self) -> Size | int:
        return _size(-self.times, -self.more)

    def __sub__(self, other: object) -> Size | int:
        times, more = _parts(other)
        return _size(self.times - times, self.more - more)

    def __rsub__(self, other: object) -> Size | int:
        times, more = _parts(other)
        return _size(times - self.times, more - self.more)

    def __mul__(self, other: object) -> Size | int:
        times, more = _parts(other)
        if times:
            raise NotLinearError
        return _size(self.times * more, self.more * more)

    __rmul__ = __mul__

    def divided(self, other: object) -> Size | int:
        """The quotient, where there is no remainder for any number of rows."""
        times, more = _parts(other)
        if times and not more and not self.more and self.times % times == 0:
            return self.times // times
        if times or not more or self.times % more or self.more % more:
            raise NotLinearError
        return _size(self.times // more, self.more // more)


def _parts(number: object) -> tuple[int, int]:
    if isinstance(number, Size):
        return number.times, number.more
    if isinstance(number, int | np.integer):
        return 0, int(number)
    raise NotLinearError


def _size(times: int, more: int) -> Size | int:
    return Size(times, more) if times else more


@dataclass(frozen=True)
class Rows:
    """Where a value has its rows: along `axis`, as the middle one of [outer, rows, inner].

    What belongs to one row there depends on that row of the inputs alone.
    """

    axis: int
    outer: int = 1
    inner: int = 1

    @property
    def size(self) -> Size:
        """The axis's length."""
        return Size(self.outer * self.inner)

    def at(self, axis: int) -> Rows:
        """The same on another axis."""
        return replace(self, axis=axis)


@dataclass(frozen=True, eq=False)
class Value:
    """A value: the same in every batch, unless `rows` or `causes` are there or a number is a Size.

    type: its type for SAMPLE rows, as far as it is known.
    rows: where it has its rows, None for one without.
    numbers: its elements, where they are few and known. Of dtype object, some are a Size.
    causes: why its rows may see each other.
    of_integers: whether its rows were computed in integers alone, which no runtime rounds.
    """

    type: onnx.TypeProto
    rows: Rows | None = None
    numbers: NDArray[Any] | None = None
    causes: tuple[str, ...] = ()
    of_integers: bool = False

    @property
    def integer(self) -> bool:
        """Does it hold integers or booleans?"""
        return self.type.tensor_type.elem_type in _INTEGERS

    @property
    def exact(self) -> bool:
        """Is a row the same bits alone and among others, where it is the same number?"""
        return self.integer and (self.rows is None or self.of_integers)

    @property
    def sized(self) -> bool:
        """Is it computed from the number of rows?"""
        return self.numbers is not None and self.numbers.dtype == object

    @property
    def misplaced(self) -> str | None:
        """Why it has no row for each one of the inputs on its first axis; None when it has."""
        if self.sized:
            return "depends on the number of rows in a run"
        if self.rows is None:
            return "is the same for every batch: it has no rows"
        if self.rows != Rows(0):
            return "has its rows elsewhere than one by one on its first axis"
        return None

    @property
    def shape(self) -> tuple[int | None, ...] | None:
        """Its dimensions for SAMPLE rows, None for what is not known."""
        tensor = self.type.tensor_type
        if not self.type.HasField("tensor_type") or not tensor.HasField("shape"):
            return None
        return tuple(d.dim_value if d.HasField("dim_value") else None for d in tensor.shape.dim)

    def known_shape(self) -> tuple[int | None, ...]:
        """Its dimensions. Raises MixingError when not even their number is known."""
        if self.shape is None:
            raise MixingError("works on a value of unknown rank")
        return self.shape

    @property
    def dims(self) -> list[int | Size | None]:
        """Its dimensions for any number of rows. Raises MixingError when not even their number is known."""
        dims: list[int | Size | None] = list(self.known_shape())
        if self.rows is not None:
            dims[self.rows.axis] = self.rows.size
        return dims


def contains_rows(numbers: NDArray[Any]) -> bool:
    """Is one of the numbers a Size?"""
    return numbers.dtype == object and any(isinstance(n, Size) for n in numbers.flat)


def aligned(values: Sequence[Value]) -> Rows:
    """Where the rows are when values with rows, and others, are broadcast to one shape.

    Raises MixingError when rows would meet other rows, or a dimension that is not one for every row.
    """
    ranks = [len(value.known_shape()) for value in values]
    found = {
        value.rows.at(value.rows.axis + max(ranks) - rank)
        for value, rank in zip(values, ranks, strict=True)
        if value.rows is not None
    }
    if len(found) != 1:
        raise MixingError("combines rows with other rows: its inputs carry the batch on different axes")
    (rows,) = found
    for value, rank in zip(values, ranks, strict=True):
        at = rows.axis - (max(ranks) - rank)
        if value.rows is None and at >= 0 and value.known_shape()[at] != 1:
            raise MixingError(
                f"combines rows with a constant that has {value.known_shape()[at]} elements along the batch"
            )
    return rows


def regroup(value: Value, dims: Sequence[int | Size]) -> Rows:
    """Where the rows are when a value with rows takes another shape, in the same order of its elements.

    Raises MixingError when a row's elements would not stay together.
    """
    assert value.rows is not None
    before = math.prod(_fixed(value.dims[: value.rows.axis])) * value.rows.outer
    count = before * math.prod(_fixed(value.dims[value.rows.axis + 1 :])) * value.rows.inner
    places = [i for i, dim in enumerate(dims) if isinstance(dim, Size)]
    if len(places) != 1 or count == 0:
        raise MixingError("takes a shape in which no axis is a multiple of the number of rows")
    (axis,) = places
    size = dims[axis]
    first, last = math.prod(_fixed(dims[:axis])), math.prod(_fixed(dims[axis + 1 :]))
    assert isinstance(size, Size)
    if size.more or first * size.times * last != count:
        raise MixingError("takes a shape with another number of elements")
    if before % first or size.times % (before // first):
        raise MixingError("takes a shape that cuts rows: elements of several rows are joined")
    return Rows(axis, before // first, size.times // (before // first))


def _fixed(dims: Sequence[int | Size | None]) -> list[int]:
    fixed = [int(dim) for dim in dims if isinstance(dim, int)]
    if len(fixed) != len(dims):
        raise MixingError("works on a value with unknown dimensions")
    return fixed


@dataclass(frozen=True, eq=False)
class Call:
    """A node of a graph, a body or a function: its operator in the opset there, and its inputs.

    inputs: None for one that is not given.
    """

    op: str
    opset: int
    attributes: dict[str, Any]
    inputs: Sequence[Value | None]
    outputs: int

    def given(self, index: int) -> bool:
        """Is there such an input?"""
        return len(self.inputs) > index and self.inputs[index] is not None

    def need(self, index: int) -> Value:
        """An input. Raises MixingError when it is not given."""
        value = self.inputs[index] if len(self.inputs) > index else None
        if value is None:
            raise MixingError("lacks an input that it needs")
        return value

    def rows(self, index: int = 0) -> Rows:
        """Where an input has its rows. Raises MixingError for one without."""
        rows = self.need(index).rows
        if rows is None:
            raise MixingError(f"takes the batch in another input than its input {index}")
        return rows

    def rank(self, index: int = 0) -> int:
        """The number of an input's dimensions. Raises MixingError when it is unknown."""
        return len(self.need(index).known_shape())

    def attribute(self, name: str, default: Any) -> Any:
        """An attribute, or its default."""
        return self.attributes.get(name, default)

    def axis(self, default: int, *, rank: int | None = None) -> int:
        """The attribute "axis", from 0 on."""
        return int(self.attribute("axis", default)) % max(self.rank() if rank is None else rank, 1)

    def numbers(self, index: int) -> list[int | float]:
        """The elements of an input that do not depend on the batch. Raises MixingError when unknown."""
        value = self.need(index)
        if value.numbers is None or value.sized:
            raise MixingError(f"computes its input {index}, on which the place of the rows depends")
        return [number.item() for number in value.numbers.flat]

    def axes(self, index: int, *, since: int) -> list[int] | None:
        """The axes, an attribute or from opset `since` on an input, counted from 0; None if not given."""
        if self.opset < since:
            found = self.attribute("axes", None)
        else:
            found = self.numbers(index) if self.given(index) else None
        return None if found is None else [int(axis) % max(self.rank(), 1) for axis in found]

    def only(self, *indices: int) -> None:
        """No other inputs than these have rows. Raises MixingError."""
        for index, value in enumerate(self.inputs):
            if index not in indices and value is not None and value.rows is not None:
                raise MixingError(f"takes the batch in its input {index}")
