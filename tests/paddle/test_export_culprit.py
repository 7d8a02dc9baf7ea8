"""The search for the operator that cannot be converted, with converters that are only told to fail."""

from __future__ import annotations

from typing import Any

import pytest

from ort_rrelu.paddle.conversion import find_culprit
from ort_rrelu.paddle.document import name, operators, top_level


def _op(
    kind: str, inputs: tuple[int, ...] = (), outputs: tuple[int, ...] = (), **more: Any
) -> dict[str, Any]:
    values = {"I": [{"%": value} for value in inputs], "O": [{"%": value} for value in outputs]}
    return {"#": f"1.{kind}", "A": [], **values, **more}


def _program() -> dict[str, Any]:
    """A While with an If in it."""
    branch = [{"args": [], "ops": [_op(kind, (-1,), (7,)), _op("yield", (7,))]} for kind in ("exp", "tan")]
    body = [
        _op("abs", (-1,), (5,)),
        _op("if", (5,), (6,), regions=[{"blocks": [block]} for block in branch]),
        _op("yield", (5, 6)),
    ]
    loop = {"args": [{"#": -1}], "ops": body}
    ops = [
        _op("data", (), (1,)),
        _op("less", (1,), (2,)),
        _op("while", (2, 1), (3,), regions=[{"blocks": [loop]}]),
        _op("sin", (3,), (4,)),
        _op("fetch", (4,)),
    ]
    return {"program": {"regions": [{"blocks": [{"ops": ops}]}]}}


@pytest.mark.parametrize(
    ("unsupported", "named"),
    [
        ("data", "data"),
        ("less", "less"),
        ("abs", "abs in a body of while"),
        ("exp", "exp in a body of while"),
        ("tan", "tan in a body of while"),
        ("while", "while"),
        ("sin", "sin"),
        ("fetch", None),
    ],
)
def test_culprit_is_found(unsupported: str, named: str | None) -> None:
    def converts(document: dict[str, Any]) -> bool:
        outermost = top_level(document)
        defined = {value["%"] for op in outermost for value in op["O"]}
        assert all(value["%"] in defined for op in outermost for value in op["I"])
        return all(name(op) != unsupported for op, _ in operators(document))

    assert find_culprit(_program(), converts) == named
