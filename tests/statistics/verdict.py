"""What many p-values say together, beside what as many of a perfect stream are expected to say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from scipy import stats

# A perfect stream has such a value once in a hundred million tests.
IMPOSSIBLE = 5e-9
_LEVELS = (0.05, 0.01, 0.001)


@dataclass(frozen=True)
class Verdict:
    number: int
    beyond: dict[
        str, tuple[int, float]
    ]  # level -> values nearer than half of it to 0 or 1, and how many are expected
    smallest: float  # distance of a value from 0 or 1
    together: float  # p-value of Kolmogorov's and Smirnov's test: are the values uniform?

    @property
    def passed(self) -> bool:
        return self.smallest > IMPOSSIBLE and self.together > IMPOSSIBLE


def judge(values: Sequence[float]) -> Verdict:
    distances = [min(p, 1 - p) for p in values]
    beyond = {
        str(level): (sum(distance < level / 2 for distance in distances), level * len(values))
        for level in _LEVELS
    }
    return Verdict(len(values), beyond, min(distances), float(stats.kstest(values, "uniform").pvalue))
