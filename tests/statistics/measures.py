"""Tests of 16-bit words. Their p-values are uniform in [0, 1] for a perfect stream: both ends are suspect."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from scipy import stats

from tests.onnx_models import Array
from tests.statistics.halves import CELLS

LANES = 8  # words of a block of the generator
LAGS = 64


def chi_square(counts: Array) -> float:
    """Are all cells hit alike?"""
    expected = counts.sum() / counts.size
    return float(stats.chi2.sf(((counts - expected) ** 2 / expected).sum(), counts.size - 1))


def _more(found: int, trials: int, p: float) -> float:
    """The chance of more than `found`, and half of that of as many: uniform but for the steps of counts."""
    chances = stats.binom(trials, p)
    return float(chances.sf(found) + chances.pmf(found) / 2)


def _one_of_many(p: float, number: int) -> float:
    """The chance that the smallest of `number` p-values is below p."""
    return -math.expm1(number * math.log1p(-p))


def extremes(counts: Array) -> dict[str, float]:
    """Of the value that is hit most often, and of that hit least often: one biased value shows here first."""
    draws, chance = int(counts.sum()), 1 / counts.size
    most = _more(int(counts.max()), draws, chance)
    least = 1 - _more(int(counts.min()), draws, chance)
    return {
        "the most frequent value": _one_of_many(most, counts.size),
        "the least frequent value": _one_of_many(least, counts.size),
    }


@dataclass
class Uniformity:
    """How often each lane of a block has each value."""

    counts: Array = field(default_factory=lambda: np.zeros((LANES, CELLS), np.int64))

    def add(self, words: Array) -> None:
        for lane in range(LANES):
            self.counts[lane] += np.bincount(words[lane::LANES], minlength=CELLS)

    def values(self) -> dict[str, float]:
        counts = self.counts.sum(axis=0)
        whole = {f"all {CELLS:,} values": chi_square(counts)} | extremes(counts)
        return whole | {f"lane {lane}": chi_square(self.counts[lane]) for lane in range(LANES)}


@dataclass
class Correlation:
    """Of each word with those that follow it."""

    sums: Array = field(default_factory=lambda: np.zeros(LAGS))
    pairs: Array = field(default_factory=lambda: np.zeros(LAGS))

    def add(self, words: Array) -> None:
        centred = words.astype(np.float32) - np.float32((CELLS - 1) / 2)
        for i in range(LAGS):
            lag = i + 1
            self.sums[i] += float(np.dot(centred[:-lag], centred[lag:]))
            self.pairs[i] += centred.size - lag

    def values(self) -> dict[str, float]:
        variance = (CELLS**2 - 1) / 12
        scores = self.sums / (variance * np.sqrt(self.pairs))
        return {f"correlation, lag {i + 1}": float(stats.norm.sf(score)) for i, score in enumerate(scores)}


@dataclass
class Independence:
    """Of the words of two draws that stand at the same place."""

    high: Array = field(default_factory=lambda: np.zeros(CELLS, np.int64))
    low: Array = field(default_factory=lambda: np.zeros(CELLS, np.int64))
    equal: int = 0
    product: float = 0.0

    def add(self, a: Array, b: Array) -> None:
        wide = a.astype(np.int32), b.astype(np.int32)
        self.high += np.bincount((wide[0] >> 8) * 256 + (wide[1] >> 8), minlength=CELLS)
        self.low += np.bincount((wide[0] & 255) * 256 + (wide[1] & 255), minlength=CELLS)
        self.equal += int(np.count_nonzero(a == b))
        middle = np.float32((CELLS - 1) / 2)
        self.product += float(np.dot(a.astype(np.float32) - middle, b.astype(np.float32) - middle))

    @property
    def pairs(self) -> int:
        return int(self.high.sum())

    def values(self) -> dict[str, float]:
        score = self.product / ((CELLS**2 - 1) / 12 * math.sqrt(self.pairs))
        return {
            "pairs of high bytes": chi_square(self.high),
            "pairs of low bytes": chi_square(self.low),
            "correlation": float(stats.norm.sf(score)),
            "words that are equal": _more(self.equal, self.pairs, 1 / CELLS),
        }
