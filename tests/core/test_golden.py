"""What earlier versions wrote gives the same bits today: models, draws, reserves (tests/golden)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import cache
from typing import Any

import ml_dtypes
import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import parser
from onnx.reference import ReferenceEvaluator
from onnxruntime.capi.onnxruntime_pybind11_state import Fail, InvalidArgument

import ort_rrelu
from ort_rrelu import evaluator, graph, library, reference
from ort_rrelu.graph.embedding import is_portable
from tests.bits import assert_same_bits
from tests.documentation import text
from tests.golden.cases import GOLDEN, SEED_OF_SESSIONS, Case, arrays, cases, entries
from tests.onnx_models import FLOAT, Array

_PROVIDERS = ["CPUExecutionProvider"]
_OLD_OPSET = 21  # which every ONNX Runtime reads that is allowed


@cache
def _is_read(opset: int) -> bool:
    """ONNX Runtime refuses opsets that are newer than itself."""
    if opset <= _OLD_OPSET:
        return True
    text = (
        f'<ir_version: 8, opset_import: ["": {opset}]> g (float[1] x) => (float[1] y) {{ y = Identity(x) }}'
    )
    model = parser.parse_model(text).SerializeToString()
    try:
        onnxruntime.InferenceSession(model, providers=_PROVIDERS)
    except (Fail, InvalidArgument) as error:
        assert "official" in str(error)  # what it says of an opset
        return False
    return True


def _parameters(*kinds: str) -> list[Any]:
    return [
        pytest.param(case, id=f"{case.kind}: {case.name}")
        for kind in kinds
        for case in cases(kind)
        if _is_read(onnx.load_model_from_string(case.model).opset_import[0].version)
    ]


def _with_library(model: bytes) -> onnxruntime.InferenceSession:
    return ort_rrelu.InferenceSession(model, seed=SEED_OF_SESSIONS, providers=_PROVIDERS, lower_eval=False)


def _without_library(model: bytes) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(model, providers=_PROVIDERS)


def _draws_anew(case: Case) -> bool:
    """Without the library: a function counts no runs, and what `lower` writes has the runtime's generator."""
    if case.kind.startswith("lowered"):
        return "eval" not in case.name
    return "train" in case.name and "step" not in case.feeds


def test_no_archive_was_written_again() -> None:
    for line in text("tests/golden/SHA256SUMS").splitlines():
        digest, name = line.split()
        assert hashlib.sha256((GOLDEN / name).read_bytes()).hexdigest() == digest, name
    assert len(text("tests/golden/SHA256SUMS").splitlines()) == len(list(GOLDEN.glob("*.zip")))


def _assert_runs(session: Any, case: Case, outputs: slice = slice(None)) -> None:
    assert case.runs
    for expected in case.runs:
        for actual, output in zip(session.run(None, case.feeds)[outputs], expected[outputs], strict=True):
            assert_same_bits(actual, output)


@pytest.mark.parametrize("case", _parameters("bare", "portable", "bare_rows", "portable_rows"))
def test_a_model_with_the_kernels(case: Case) -> None:
    _assert_runs(_with_library(case.model), case)


_STANDARD = ("portable", "lowered", "exact")


@pytest.mark.parametrize("case", _parameters(*_STANDARD, *(f"{kind}_rows" for kind in _STANDARD)))
def test_a_model_without_the_library(case: Case) -> None:
    session = _without_library(case.model)
    if _draws_anew(case):
        first, second = ([np.asarray(o) for o in session.run(None, case.feeds)] for _ in range(2))
        _assert_slopes(case, first)
        assert any((a != b).any() for a, b in zip(first, second, strict=True))
    else:
        _assert_runs(session, case)


def _assert_slopes(case: Case, outputs: list[Array]) -> None:
    """All that is promised of another generator: where a slope goes, and between which bounds it lies.

    Of the numbers after the special values, which an old PRelu gets wrong.
    """
    x, y = (array.ravel()[18:].astype(np.float64) for array in (case.feeds["x"], outputs[0]))
    kept, leaks = x > 0, x < 0
    np.testing.assert_array_equal(y[kept], x[kept])
    slopes = y[leaks] / x[leaks]
    assert (slopes > 0.125 * 0.99).all()
    assert (slopes < 0.25 * 1.01).all()
    assert np.unique(slopes).size > slopes.size // 2
    if "dy" in case.feeds:
        dx, dy = (array.ravel()[18:].astype(np.float64) for array in (outputs[1], case.feeds["dy"]))
        np.testing.assert_allclose(dx, dy * np.where(kept, 1.0, y / x), rtol=0.02)


_EVALUATED = [p for p in _parameters("bare", "bare_rows") if "unseeded" not in p.id]


@pytest.mark.parametrize("case", _EVALUATED)
def test_a_model_in_the_reference(case: Case) -> None:
    of = ReferenceEvaluator(onnx.load_model_from_string(case.model), new_ops=evaluator.OPS)
    # A reserve has the seed in it, and the evaluator none of a session.
    kept = slice(2 if "eval" in case.name else None)
    _assert_runs(of, case, kept)


_TOOLS: dict[str, Callable[[onnx.ModelProto], onnx.ModelProto]] = {
    "portable": graph.portable,
    "portable with the mode written again": lambda model: graph.set_training(model, True),
    "lowered exactly": lambda model: graph.lower(model, exact=True),
}
_TRAINED = [
    p
    for p in _parameters("bare", "portable", "portable_rows")
    if "step" in p.values[0].feeds and "reserve" not in p.id
]


@pytest.mark.parametrize("tool", _TOOLS)
@pytest.mark.parametrize("case", _TRAINED)
def test_todays_tools_on_a_model(case: Case, tool: str) -> None:
    changed = _TOOLS[tool](onnx.load_model_from_string(case.model)).SerializeToString()
    _assert_runs(_with_library(changed), case)
    if is_portable(onnx.load_model_from_string(changed)) or tool == "lowered exactly":
        _assert_runs(_without_library(changed), case)


def test_slopes_of_the_kernel() -> None:
    rows = arrays("draws.zip", "slopes.npz")
    for seed, step, lower, upper, index, slope in zip(*rows.values(), strict=True):
        begin = int(index) // 8 * 8
        x = np.zeros(8, np.float32)
        y, noise = np.empty_like(x), np.empty_like(x)
        params = library.Params(FLOAT, float(lower), float(upper), True, int(seed), int(step))
        # Addresses of element 0, which need not exist.
        addresses = [(array.ctypes.data - begin * 4) % 2**64 for array in (x, y, noise)]
        library.forward(params, addresses[0], addresses[1], addresses[2], begin, int(index) + 1)
        assert noise[int(index) % 8].tobytes() == slope.tobytes(), (seed, step, index)


def test_slopes_of_the_reference() -> None:
    rows = arrays("draws.zip", "slopes.npz")
    near = rows["index"] < 100
    assert near.sum() > 100
    for seed, step, lower, upper, index, slope in zip(*(v[near] for v in rows.values()), strict=True):
        drawn = reference.slopes(int(index) + 1, float(lower), float(upper), seed=int(seed), step=int(step))
        assert drawn[-1].tobytes() == slope.tobytes(), (seed, step, index)


def test_derived_seeds() -> None:
    rows = arrays("draws.zip", "seeds.npz")
    for base, index, seed in zip(*rows.values(), strict=True):
        assert reference.derive_seed(int(base), int(index)) == seed


_RESERVES = [(name, entry) for name in ("reserves.zip", "reserves_rows.zip") for entry in entries(name)]
_FRONT_ENDS = pytest.mark.parametrize(
    ("rrelu", "rrelu_grad"),
    [(ort_rrelu.rrelu, ort_rrelu.rrelu_grad), (reference.rrelu, reference.rrelu_grad)],
    ids=["kernel", "reference"],
)


@_FRONT_ENDS
@pytest.mark.parametrize(("archive", "entry"), _RESERVES)
def test_reserves(
    archive: str, entry: str, rrelu: Callable[..., Any], rrelu_grad: Callable[..., Any]
) -> None:
    """Written as they were, and those that were written are read."""
    facts = arrays(archive, entry)
    dtype = np.dtype(ml_dtypes.bfloat16 if "bfloat16" in entry else entry.split()[0])
    x, dy, y, noise, dx = (facts[name].view(dtype) for name in ("x", "dy", "y", "noise", "dx"))
    draw = {name: facts[name] for name in ("lower", "upper", "training", "seed", "step")}
    draw = {name: value if value.ndim else value.item() for name, value in draw.items()}
    outputs = rrelu(x, return_noise=True, return_reserve=True, **draw)
    for actual, expected in zip(outputs, (y, noise, facts["reserve"]), strict=True):
        assert_same_bits(actual, expected)
    assert_same_bits(rrelu_grad(dy, facts["reserve"]), dx)
