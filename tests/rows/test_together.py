"""Where what all rows give together may reach each of them, rows still keep their places: a proof of that."""

from __future__ import annotations

from collections import Counter

import numpy as np
import onnx
import pytest

from ort_rrelu.graph.rows.values import Rows
from ort_rrelu.graph.rows.walk import followed
from tests.rows.apart import APART
from tests.rows.cases import DRAWN, ROWS, SOME, TRAIN, Case, X
from tests.rows.grown import for_grown_models
from tests.rows.mixing import MIXING
from tests.rows.runs import ROWS as _COUNT
from tests.rows.runs import answer, feeds_of, runner

_ORDER = np.array([3, 0, 4, 1, 2])
_CASES = 200
_MEAN = "m = ReduceMean (x, zero) d = Sub (x, m) q = Mul (d, d)"
_NORM = f"{_MEAN} v = ReduceSum (q, zero) {ROWS} c = Cast <to = 1> (n) w = Div (v, c) s = Sqrt (w)"


def _places(model: onnx.ModelProto) -> tuple[list[str], Rows | None]:
    """Why rows of an output are not known to keep their places, and where those of the first are."""
    batched = [v.name for v in model.graph.input if v.type.tensor_type.shape.dim[0].dim_param == "batch"]
    values = followed(model, batched, together=True)
    return [cause for value in values for cause in value.causes], values[0].rows


def _check_order(model: onnx.ModelProto, seed: int) -> bool:
    """Rows in another order give the rows of the output in that order; False where a runtime refuses them."""
    _, rows = _places(model)
    run, feeds = runner(model), feeds_of(model, seed)
    first, second = answer(run, feeds), answer(run, {name: array[_ORDER] for name, array in feeds.items()})
    assert (first is None) == (second is None)
    if first is None or second is None:
        return False
    whole, moved = first[0], second[0]
    if rows is not None:
        parts = np.moveaxis(whole, rows.axis, 0).reshape(rows.outer, _COUNT, rows.inner, -1)
        moved = np.moveaxis(moved, rows.axis, 0).reshape(parts.shape)
        whole = parts[:, _ORDER]
    if whole.dtype.kind == "f":
        np.testing.assert_allclose(moved, whole, rtol=1e-5, atol=1e-5 * np.abs(whole).max(initial=1.0))
    else:
        np.testing.assert_array_equal(moved, whole)
    return True


@pytest.mark.parametrize("case", APART, ids=lambda case: case.body)
def test_rows_that_are_apart_keep_their_places(case: Case) -> None:
    assert _places(case.model()) == ([], Rows(0))


_TOGETHER = [
    Case(X, f"{_MEAN} y = Identity (q)", SOME),
    Case(X, f"{_NORM} y = Div (d, s)", SOME),
    Case(X, f"{_NORM} e = Div (d, s) g = ReduceMax <keepdims = 0> (e) y = Mul (e, g)", SOME),
    Case(DRAWN, f"{_MEAN} y = {TRAIN} (q, step)", SOME),
    Case(DRAWN, f"h = {TRAIN} (x, step) m = ReduceL2 (h, zero) y = Add (h, m)", SOME),
]


@pytest.mark.parametrize("case", _TOGETHER, ids=lambda case: case.body)
def test_what_all_rows_give_together_reaches_each(case: Case) -> None:
    assert _places(case.model()) == ([], Rows(0))
    assert _check_order(case.model(), seed=0)


def test_mixing_rows_is_proved_where_it_follows_their_order_alone() -> None:
    """Of the nodes that let rows see each other, those that pass keep to it in a runtime."""
    proved = [case for case, _ in MIXING if not _places(case.model())[0]]
    assert len(proved) > 10
    assert sum(_check_order(case.model(), seed=0) for case in proved) > 10


_MOVED = [
    Case(X, "y = Slice (x, rest, e, zero, rest)", f"{SOME}, int64[1] e = {{-100}}"),
    Case(X, "y = CumSum (x, zero)", "int64 zero = {0}"),
    Case(X, "f = Gather (x, zero) y = Add (x, f)", SOME),
    Case(X, "m = ArgMax (x) f = Cast <to = 1> (m) y = Add (x, f)"),
    Case(X, "t = Transpose (x) y = MatMul (x, t)"),
    Case(X, f"{ROWS} m = Sub (n, two) g = Gather (x, m) y = Add (x, g)", SOME),
    Case(
        X,
        f"{ROWS} s = Squeeze (n) r = Range (a, s, b) f = CastLike (r, x) u = Unsqueeze (f, one) "
        "y = Add (x, u)",
        f"{SOME}, int64 a = {{0}}, int64 b = {{1}}",
    ),
    Case(X, "y, i = TopK <axis = 0> (x, two)", SOME),
    Case(X, "t = Transpose (x) y = Reshape (t, s)", "int64[2] s = {-1, 4}"),
    Case(X, "n = RandomUniformLike (x) y = Add (n, x)"),
]


@pytest.mark.parametrize("case", _MOVED, ids=lambda case: case.body)
def test_what_depends_on_a_place_is_not_proved(case: Case) -> None:
    assert _places(case.model())[0]


def test_random_graphs(pytestconfig: pytest.Config) -> None:
    """`--cases N` for more; some graphs keep places without keeping rows apart."""
    cases = pytestconfig.getoption("--cases") or _CASES
    seen: Counter[str] = Counter()

    def check(model: onnx.ModelProto, seed: int) -> None:
        if _places(model)[0]:
            seen["unknown"] += 1
            return
        batched = [value.name for value in model.graph.input]
        together = bool(followed(model, batched)[0].causes)
        if _check_order(model, seed):
            seen["together" if together else "apart"] += 1

    for_grown_models(check, cases)
    print(f"\nof {cases} random graphs {dict(seen)}")
    assert min(seen["unknown"], seen["apart"]) > cases / 10
    assert seen["together"] > cases / 50
