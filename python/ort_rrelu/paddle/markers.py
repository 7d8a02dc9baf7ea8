"""Markers: each rrelu of a saved program becomes an elu with an alpha of its own, for Paddle2ONNX to convert.

Not leaky_relu: Paddle 3.3.1 stores its slope as float64, and Paddle2ONNX 2.1.0 takes the bits for a float32.
A user's own leaky_relu is rewritten to float32 here for that reason.
"""

from __future__ import annotations

from dataclasses import dataclass

from ort_rrelu.errors import InvalidValueError
from ort_rrelu.paddle.document import Json, attributes_of, operators
from ort_rrelu.paddle.tags import Tags

__all__ = ["Mark", "mark"]

# Markers are -(_BASE + 1), -(_BASE + 2), ...: exact in float32 below 2^24, and no slope anyone would choose.
_BASE = 4_000_000
_RRELU, _ELU, _LEAKY_RELU = ".rrelu", ".elu", ".leaky_relu"


@dataclass(frozen=True)
class Mark:
    """What stands behind one marker: the bounds of an rrelu, and what its tags say."""

    lower: float
    upper: float
    tags: Tags


def mark(document: Json) -> dict[float, Mark]:
    """Put markers, in place, for the rrelus of a saved program.

    Args:
        document: the contents of the .json file.

    Returns:
        alpha of the elu -> what stands behind it, in program order.

    Raises:
        InvalidValueError: an rrelu's Noise output is read, or an elu of the model has a marker for its alpha.
    """
    marks: dict[float, Mark] = {}
    taken: set[float] = set()
    noises: dict[int, str] = {}
    read: set[int] = set()
    for op, scope in list(operators(document)):
        read |= {value["%"] for value in op.get("I", ()) if isinstance(value, dict) and "%" in value}
        if op["#"].endswith(_ELU):
            taken.add(attributes_of(op)["alpha"])
        elif op["#"].endswith(_LEAKY_RELU):
            _store_slope_as_float32(op)
        elif op["#"].endswith(_RRELU):
            alpha = -float(_BASE + len(marks) + 1)
            noises[op["O"][1]["%"]] = scope
            marks[alpha] = _replace(op, alpha, scope)
    if consumed := noises.keys() & read:
        where = ", ".join(sorted(noises[value] or "the top level" for value in consumed))
        raise InvalidValueError(
            f"rrelu in {where}: its Noise output is read, which Paddle2ONNX cannot convert: only Out may be"
        )
    if clash := taken & marks.keys():
        first, last = -_BASE - 1, -_BASE - len(marks)
        raise InvalidValueError(
            f"the model has an elu with alpha={clash.pop():.0f}, which the exporter needs as a marker: "
            f"any alpha but {first if first == last else f'{first} to {last}'} is allowed"
        )
    return marks


def _store_slope_as_float32(op: Json) -> None:
    for attribute in op["A"]:
        kind = attribute["AT"]
        kind["#"] = kind["#"].replace("a_f64", "a_f32")


def _replace(op: Json, alpha: float, scope: str) -> Mark:
    values = attributes_of(op)
    tags = Tags.read(values.get("struct_name") or "")
    op["#"] = op["#"].removesuffix(_RRELU) + _ELU
    op["A"] = [{"AT": {"#": "0.a_f32", "D": alpha}, "N": "alpha"}]
    del op["O"][1:]
    for attribute in op.get("OA", ()):
        if isinstance(listed := attribute["AT"].get("D"), list):
            del listed[1:]
    return Mark(values["lower"], values["upper"], Tags(scope, tags.training, tags.seed))
