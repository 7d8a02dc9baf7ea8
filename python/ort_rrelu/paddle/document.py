"""The contents of a program that Paddle saved as .json (PIR): operators, their attributes and bodies.

An operator is {"#": "1.relu", "A": attributes, "I": inputs, "O": outputs, "OA": attributes of outputs,
"regions": bodies}, where "1" is the dialect pd_op; a weight is {"#": "p", ...} with fields of its own.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ort_rrelu.errors import InvalidValueError
from ort_rrelu.paddle.tags import Tags

__all__ = [
    "Json",
    "attributes_of",
    "bodies",
    "count_weights",
    "name",
    "operators",
    "read_document",
    "top_level",
]

Json = dict[str, Any]

_WEIGHT = "p"


def read_document(path: Path) -> Json:
    """Raise InvalidValueError unless the file holds a program in the PIR format."""
    try:
        document: Json = json.loads(path.read_text("utf-8"))
        top_level(document)
    except (ValueError, LookupError, TypeError) as error:
        raise InvalidValueError(
            f"{path}: not a program that Paddle saved, or a damaged one ({type(error).__name__}: {error})"
        ) from error
    return document


def top_level(document: Json) -> list[Json]:
    """The operators outside every body."""
    (region,) = document["program"]["regions"]
    (block,) = region["blocks"]
    ops: list[Json] = block["ops"]
    return ops


def attributes_of(op: Json) -> Json:
    """Name -> value; empty for a weight."""
    if op["#"] == _WEIGHT:
        return {}
    return {attribute["N"]: attribute["AT"].get("D") for attribute in op["A"]}


def bodies(op: Json) -> Iterator[Json]:
    """Of an If or While: {"args": what a While gives it, "ops": its operators}."""
    for region in op.get("regions", ()):
        yield from region["blocks"]


def name(op: Json) -> str:
    """The operator's name without its dialect."""
    return str(op["#"]).split(".", 1)[-1]


def _walk(ops: list[Json], outer: str) -> Iterator[tuple[Json, str]]:
    for op in ops:
        scope = Tags.read(attributes_of(op).get("struct_name") or "").scope or outer
        yield op, scope
        for body in bodies(op):
            yield from _walk(body["ops"], scope)


def operators(document: Json) -> Iterator[tuple[Json, str]]:
    """Every operator, in order, and the layers around it; in bodies, where Paddle writes none, the body's."""
    return _walk(top_level(document), "")


def count_weights(document: Json) -> int:
    """How many tensors the program reads from its .pdiparams file; with none it has no such file.

    Buffers that are not persistable, such as an LSTM's dropout state, stand in the program alone; the first
    of a weight's output attributes tells.
    """
    return sum(op["#"] == _WEIGHT and bool(op["OA"][0]) for op in top_level(document))
