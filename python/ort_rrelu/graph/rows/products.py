"""Where the rows are after products: axes that are summed, and axes that are kept."""

from __future__ import annotations

import re
import string
from collections.abc import Sequence

from ort_rrelu.graph.rows.values import Call, MixingError, Rows, Value

_TWICE = "multiplies rows with rows: its output would have the batch twice"
_SUMMED = "works along the batch: it sums over the rows"


def _contracted(labels: Sequence[str], values: Sequence[Value], result: str, *, may_be_one: str = "") -> Rows:
    """The rows of a sum of products, each axis of which has a letter, as in Einsum.

    may_be_one: the letters of axes that are broadcast.
    """
    found = {
        (letters[value.rows.axis], value.rows.outer, value.rows.inner)
        for letters, value in zip(labels, values, strict=True)
        if value.rows is not None
    }
    if len(found) != 1:
        raise MixingError(_TWICE)
    ((letter, outer, inner),) = found
    if letter not in result:
        raise MixingError(_SUMMED)
    if result.count(letter) > 1 or any(letters.count(letter) > 1 for letters in labels):
        raise MixingError(_TWICE)
    for letters, value in zip(labels, values, strict=True):
        if value.rows is None and letter in letters:
            size = value.known_shape()[letters.index(letter)]
            if letter not in may_be_one or size != 1:
                raise MixingError(f"multiplies rows with a constant that has {size} elements along the batch")
    return Rows(result.index(letter), outer, inner)


def _matmul(left: Value, right: Value) -> Rows:
    ranks = len(left.known_shape()), len(right.known_shape())
    if min(ranks) < 1 or max(ranks) > 20:
        raise MixingError("multiplies values of a rank that has no product")
    stacked = string.ascii_lowercase[: max(ranks) - 2] if max(ranks) > 2 else ""
    first = "K" if ranks[0] == 1 else stacked[len(stacked) - (ranks[0] - 2) :] + "MK"
    second = "K" if ranks[1] == 1 else stacked[len(stacked) - (ranks[1] - 2) :] + "KN"
    result = stacked + ("M" if ranks[0] > 1 else "") + ("N" if ranks[1] > 1 else "")
    return _contracted([first, second], [left, right], result, may_be_one=stacked)


def matmul(call: Call) -> Rows:
    """MatMul."""
    call.only(0, 1)
    return _matmul(call.need(0), call.need(1))


def matmul_integer(call: Call) -> Rows:
    """MatMulInteger: MatMul, with zero points."""
    call.only(0, 1)
    _one_element(call, 2)
    if call.need(1).rows is not None:
        _one_element(call, 3)
    return _matmul(call.need(0), call.need(1))


def qlinear_matmul(call: Call) -> Rows:
    """QLinearMatMul: MatMul, with scales and zero points."""
    call.only(0, 3)
    for index in (1, 2, 6, 7) if call.need(3).rows is None else (1, 2, 4, 5, 6, 7):
        _one_element(call, index)
    return _matmul(call.need(0), call.need(3))


def _one_element(call: Call, index: int) -> None:
    """A scale or zero point for all rows."""
    if call.given(index) and any(size != 1 for size in call.need(index).known_shape()):
        raise MixingError(f"has a scale or zero point for each row, its input {index}")


def gemm(call: Call) -> Rows:
    """Gemm, C broadcast to the product."""
    left, right = call.need(0), call.need(1)
    labels = [letters[:: -1 if call.attribute(name, 0) else 1] for name, letters in _GEMM.items()]
    added = call.need(2) if call.given(2) else None
    if left.rows is None and right.rows is None:
        raise MixingError("takes the batch in its input 2 alone")
    rows = _contracted(labels, [left, right], "MN")
    if added is None:
        return rows
    offset = 2 - len(added.known_shape())
    if added.rows is not None and added.rows.at(added.rows.axis + offset) != rows:
        raise MixingError("combines rows with other rows: its inputs carry the batch on different axes")
    if added.rows is None and rows.axis >= offset and added.known_shape()[rows.axis - offset] != 1:
        raise MixingError("combines rows with a constant that has elements along the batch")
    return rows


_GEMM = {"transA": "MK", "transB": "KN"}


def einsum(call: Call) -> Rows:
    """Einsum."""
    values = [call.need(index) for index in range(len(call.inputs))]
    equation = call.attribute("equation", b"").decode("utf-8", "replace").replace(" ", "")
    if not re.fullmatch(r"[A-Za-z.,]*(->[A-Za-z.]*)?", equation):
        raise MixingError(f"has an equation that is not understood: {equation!r}")
    terms, arrow, result = equation.partition("->")
    labels = terms.split(",")
    if len(labels) != len(values):
        raise MixingError(f"has an equation for {len(labels)} inputs, and {len(values)} inputs")
    spread = "".join(map(str, range(_spread(labels, values))))
    if not arrow:
        letters = sorted(set(terms) - set(",."))
        result = "..." * ("..." in terms) + "".join(x for x in letters if terms.count(x) == 1)
    labels = [letters.replace("...", spread) for letters in labels]
    if any(len(letters) != len(value.known_shape()) for letters, value in zip(labels, values, strict=True)):
        raise MixingError(f"has an equation that does not fit its inputs: {equation!r}")
    return _contracted(labels, values, result.replace("...", spread), may_be_one=spread)


def _spread(labels: Sequence[str], values: Sequence[Value]) -> int:
    """The number of dimensions that "..." stands for."""
    found = {
        len(value.known_shape()) - len(letters.replace("...", ""))
        for letters, value in zip(labels, values, strict=True)
        if "..." in letters
    }
    if len(found) > 1 or not found <= set(range(10)):
        raise MixingError("has an equation whose ellipsis stands for different numbers of dimensions")
    return found.pop() if found else 0


def attention(call: Call) -> Rows:
    """Attention: all of its inputs begin with the batch, but for a mask that may be the same for all rows."""
    mask = call.inputs[3] if len(call.inputs) > 3 else None
    parts = [value for index, value in enumerate(call.inputs) if index != 3 and value is not None]
    found = {value.rows for value in parts}
    (rows, *more) = found
    if more or rows is None or rows.axis:
        raise MixingError("attends to values that carry the batch differently")
    if mask is None:
        return rows
    padded = len(mask.known_shape())
    if mask.rows is not None and (mask.rows != rows or padded != 4):
        raise MixingError("has a mask with the batch elsewhere than on the first of four axes")
    if mask.rows is None and padded == 4 and mask.known_shape()[0] != 1:
        raise MixingError("has a mask with elements along the batch")
    return rows
