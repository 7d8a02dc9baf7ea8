"""The short form of `make test-stream`. Seeds are fixed: a failure is a change, never bad luck."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from ort_rrelu import reference
from tests.onnx_models import Array
from tests.statistics import stream
from tests.statistics.halves import CELLS, halves
from tests.statistics.measures import Correlation, Independence, Uniformity
from tests.statistics.verdict import judge

_SEED = 42


@pytest.mark.parametrize("steps", [7, np.array([5, -1, 5, 2**40], np.int64)], ids=["one step", "steps"])
def test_halves_are_those_of_the_slopes(steps: int | Array) -> None:
    size = 1000
    drawn = [
        reference.slopes(size, 0.0, 1.0, seed=_SEED, step=int(step))
        for step in np.atleast_1d(np.asarray(steps))
    ]
    assert np.array_equal(
        halves(size, seed=_SEED, step=steps).reshape(-1, size), np.floor(np.array(drawn) * CELLS)
    )


@pytest.fixture(scope="module")
def values() -> list[stream.Value]:
    return list(stream.values(_SEED, stream.CHUNK))


def test_the_stream_is_as_good_as_a_perfect_one(values: list[stream.Value]) -> None:
    verdict = judge([value.p for value in values])
    assert verdict.number == len({(value.subject, value.test) for value in values}) > 100
    # A perfect stream has such a value in one of 400 such sets of tests.
    assert [value for value in values if min(value.p, 1 - value.p) < 1e-5] == []
    assert verdict.together > 0.001


def _biased(words: Array) -> Array:
    """One value of 65,536 has the place of two others."""
    return np.where((words == 1234) | (words == 1236), np.uint16(1235), words)


def _found(values: dict[str, float]) -> set[str]:
    return {test for test, p in values.items() if min(p, 1 - p) < 1e-7}


def test_a_biased_value_is_found() -> None:
    uniformity = Uniformity()
    uniformity.add(_biased(halves(stream.CHUNK, seed=_SEED)))
    assert {"the most frequent value", "the least frequent value"} <= _found(uniformity.values())


def test_a_biased_lane_is_found() -> None:
    words = halves(stream.CHUNK, seed=_SEED).copy()
    words[5::8] |= 1
    uniformity = Uniformity()
    uniformity.add(words)
    assert {test for test in _found(uniformity.values()) if test.startswith("lane")} == {"lane 5"}


@pytest.mark.parametrize("lag", [1, 8, 64])
def test_words_that_depend_on_earlier_ones_are_found(lag: int) -> None:
    words = halves(stream.CHUNK, seed=_SEED).copy()
    words[lag:][::50] = words[:-lag][::50]
    correlation = Correlation()
    correlation.add(words)
    assert f"correlation, lag {lag}" in _found(correlation.values())


@pytest.mark.parametrize(
    ("spoilt", "test"),
    [
        (lambda a, b: np.where(np.arange(a.size) % 500 == 0, a, b), "words that are equal"),
        (lambda a, b: np.where(np.arange(a.size) % 5 == 0, a & 0xFF00 | b & 0xFF, b), "pairs of high bytes"),
        (lambda a, b: np.where(np.arange(a.size) % 5 == 0, b & 0xFF00 | a & 0xFF, b), "pairs of low bytes"),
        (lambda a, b: np.where(np.arange(a.size) % 50 == 0, a, b), "correlation"),
    ],
)
def test_draws_that_depend_on_each_other_are_found(spoilt: object, test: str) -> None:
    a, b = (halves(stream.CHUNK, seed=_SEED, step=step) for step in range(2))
    independence = Independence()
    assert callable(spoilt)
    independence.add(a, spoilt(a, b).astype(np.uint16))
    assert test in _found(independence.values())


@pytest.mark.parametrize(("lower", "upper"), [(0.125, 1 / 3), (-1.0, 1.0), (1.5, 4.0)])
def test_mean_and_variance(lower: float, upper: float) -> None:
    slopes = reference.slopes(2**22, lower, upper, seed=_SEED).astype(np.float64)
    deviation = (upper - lower) / 12**0.5
    assert slopes.mean() == pytest.approx((lower + upper) / 2, abs=4 * deviation / 2**11)
    assert slopes.std() == pytest.approx(deviation, rel=4 / 2**11)


def test_derived_seeds_are_all_different() -> None:
    """Bases and indices in a row, where base + index would repeat nearly always."""
    pairs = itertools.product(range(100), range(100))
    seeds = {reference.derive_seed(base, index) for base, index in pairs}
    assert len(seeds) == 10_000
    assert all(0 <= seed < 2**63 for seed in seeds)
