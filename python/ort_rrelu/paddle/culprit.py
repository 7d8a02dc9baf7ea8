"""The operator that Paddle2ONNX fails at, which its messages do not name: searched for by trying."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator

from ort_rrelu.paddle.document import Json, bodies, name, top_level

__all__ = ["find_culprit"]


def find_culprit(document: Json, converts: Callable[[Json], bool]) -> str | None:
    """The first operator that cannot be converted, and what it is in the body of.

    Without the operators from some place on a program still converts, up to the place that is looked for.

    Args:
        document: a program that cannot be converted; it is another one afterwards.
        converts: whether Paddle2ONNX converts a program.

    Returns:
        What messages call it; None where no operator is at fault, but all of them together.
    """
    operators = top_level(document)
    everything = list(operators)

    def first_failing(start: int) -> int:
        """Its place; len(everything) where there is none. Those before `start` convert."""
        good, bad = start, len(everything) + 1
        while bad - good > 1:
            middle = (good + bad) // 2
            operators[:] = everything[:middle]
            if converts(document):
                good = middle
            else:
                bad = middle
        return bad - 1

    place = first_failing(0)
    # The last is a fetch.
    if place >= len(everything) - 1:
        return None
    culprit = everything[place]
    everything[place:] = _inlined(culprit, {})
    inner = first_failing(place)
    if inner == len(everything):
        return name(culprit)
    return f"{name(everything[inner])} in a body of {name(culprit)}"


def _inlined(op: Json, known: dict[int, int]) -> Iterator[Json]:
    """The operators of an operator's bodies, in order, as they would stand in its place.

    Args:
        op: an If or While.
        known: a value of the bodies -> what it is outside of them; those of the outputs of `op` are added.
    """
    for body in bodies(op):
        _, *given = [known.get(value["%"], value["%"]) for value in op["I"]]
        known |= {argument["#"]: value for argument, value in zip(body.get("args", ()), given, strict=False)}
        for each in body["ops"]:
            if name(each) == "yield":
                ends = [known.get(value["%"], value["%"]) for value in each["I"]]
                outputs = [value["%"] for value in op["O"]]
                # The first that a While's body ends with is its condition.
                known |= zip(outputs, ends[len(ends) - len(outputs) :], strict=True)
            elif list(bodies(each)):
                yield from _inlined(each, known)
            else:
                moved = copy.deepcopy(each)
                for value in moved["I"]:
                    value["%"] = known.get(value["%"], value["%"])
                yield moved
