"""A node with what is known of its inputs: what the rules of the operators ask."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ort_rrelu.serving.rows.values import MixingError, Rows, Value

__all__ = ["Call"]


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
