"""The random stream behaves like one. Seeds are fixed: a failure is a change, never bad luck."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from ort_rrelu import reference
from tests.onnx_models import Array

_CELLS = 2**16
_SIZE = 64 * _CELLS


def _half_words(size: int = _SIZE, seed: int = 42, step: int = 0) -> Array:
    """The cells that slopes fall into; with these bounds a slope is u, whose cell is exact."""
    u = reference.slopes(size, 0.0, 1.0, seed=seed, step=step).astype(np.float64)
    return (u * _CELLS).astype(np.int64)


def _deviations(observed: Array, expected: float) -> float:
    """Pearson's chi-square as a number of standard deviations from its mean."""
    freedom = observed.size - 1
    chi_square = float(((observed - expected) ** 2 / expected).sum())
    return (chi_square - freedom) / math.sqrt(2 * freedom)


def _correlation(a: Array, b: Array) -> float:
    """In standard deviations from 0."""
    return float(np.corrcoef(a, b)[0, 1]) * math.sqrt(a.size)


@pytest.mark.parametrize("seed", [0, 42, 2**63 - 1])
def test_cells_are_hit_alike(seed: int) -> None:
    counts = np.bincount(_half_words(seed=seed), minlength=_CELLS)
    assert counts.size == _CELLS
    assert abs(_deviations(counts, _SIZE / _CELLS)) < 4


@pytest.mark.parametrize("lane", range(8))
def test_every_lane_of_a_block_is_uniform(lane: int) -> None:
    coarse = _half_words()[lane::8] // 64
    assert abs(_deviations(np.bincount(coarse, minlength=_CELLS // 64), _SIZE / 8 / (_CELLS // 64))) < 4


@pytest.mark.parametrize(("lower", "upper"), [(0.125, 1 / 3), (-1.0, 1.0), (1.5, 4.0)])
def test_mean_and_variance(lower: float, upper: float) -> None:
    slopes = reference.slopes(_SIZE, lower, upper, seed=42).astype(np.float64)
    deviation = (upper - lower) / math.sqrt(12)
    assert slopes.mean() == pytest.approx((lower + upper) / 2, abs=4 * deviation / math.sqrt(_SIZE))
    assert slopes.std() == pytest.approx(deviation, rel=4 / math.sqrt(_SIZE))


@pytest.mark.parametrize("distance", [1, 2, 3, 4, 7, 8, 9, 32768])
def test_elements_are_uncorrelated(distance: int) -> None:
    cells = _half_words()
    assert abs(_correlation(cells[:-distance], cells[distance:])) < 4


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"seed": 0}, {"seed": 1}),
        ({"seed": 0}, {"seed": 2**32}),
        ({"step": 0}, {"step": 1}),
        ({"step": 0}, {"step": 2**32}),
        ({"step": 0}, {"step": -1}),
        ({"seed": 1, "step": 0}, {"seed": 0, "step": 1}),
    ],
    ids=str,
)
def test_draws_are_uncorrelated(first: dict[str, int], second: dict[str, int]) -> None:
    a, b = (_half_words(2**20, **{"seed": 0, "step": 0} | draw) for draw in (first, second))
    assert abs(_correlation(a, b)) < 4
    # As many elements agree as by chance: 2^20 / 2^16 = 16, with a deviation of 4.
    assert abs(np.count_nonzero(a == b) - 16) < 20


def test_derived_seeds_are_all_different() -> None:
    """Bases and indices in a row, where base + index would repeat nearly always."""
    pairs = itertools.product(range(100), range(100))
    seeds = {reference.derive_seed(base, index) for base, index in pairs}
    assert len(seeds) == 10_000
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_derived_seeds_are_uniform() -> None:
    seeds = np.array([reference.derive_seed(7, index) for index in range(4096)], np.int64)
    for shift in (0, 31, 57):
        counts = np.bincount((seeds >> shift) & 63, minlength=64)
        assert abs(_deviations(counts, 64)) < 4
