"""Which draws are tested: one long stream, and pairs of draws that a user takes for independent."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from ort_rrelu import reference
from tests.onnx_models import Array
from tests.statistics.halves import halves
from tests.statistics.measures import Correlation, Independence, Uniformity, chi_square

CHUNK = 2**22  # words of a draw
_ROW = 100  # no multiple of a block of eight

Pairs = Callable[[int, int], tuple[Array, Array]]


def _of_steps(distance: int) -> Pairs:
    def pair(seed: int, n: int) -> tuple[Array, Array]:
        return halves(CHUNK, seed=seed, step=n), halves(CHUNK, seed=seed, step=n + distance)

    return pair


def _of_seeds(distance: int) -> Pairs:
    def pair(seed: int, n: int) -> tuple[Array, Array]:
        first = seed + 2 * n
        return halves(CHUNK, seed=first), halves(CHUNK, seed=first ^ distance)

    return pair


def _neighbours(seed: int, n: int) -> tuple[Array, Array]:
    words = halves(CHUNK, seed=seed, step=n)
    return words[:-1], words[1:]


def _rows(seed: int, n: int) -> tuple[Array, Array]:
    number = CHUNK // _ROW
    words = halves(_ROW, seed=seed, step=np.arange(n * number, (n + 1) * number, dtype=np.int64))
    return words[:-1].reshape(-1), words[1:].reshape(-1)


def _nodes(seed: int, n: int) -> tuple[Array, Array]:
    a, b = (reference.derive_seed(seed, 2 * n + i) for i in range(2))
    return halves(CHUNK, seed=a), halves(CHUNK, seed=b)


def _models(seed: int, n: int) -> tuple[Array, Array]:
    """The same node of models whose seeds follow each other."""
    a, b = (reference.derive_seed(seed + i, n) for i in range(2))
    return halves(CHUNK, seed=a), halves(CHUNK, seed=b)


def _swapped(seed: int, n: int) -> tuple[Array, Array]:
    """Seed and step are different words of the generator: exchanged they are another draw."""
    return halves(CHUNK, seed=seed, step=n + seed + 1), halves(CHUNK, seed=n + seed + 1, step=seed)


PAIRS: dict[str, Pairs] = {
    "neighbouring elements": _neighbours,
    "step and step + 1": _of_steps(1),
    "step and step + 2^32": _of_steps(2**32),
    "step and -step": lambda seed, n: (
        halves(CHUNK, seed=seed, step=n + 1),
        halves(CHUNK, seed=seed, step=-n - 1),
    ),
    "rows with steps of their own": _rows,
    "seeds that differ in the first bit": _of_seeds(1),
    "seeds that differ in bit 32": _of_seeds(2**32),
    "seeds that differ in bit 62": _of_seeds(2**62),
    "seed and step exchanged": _swapped,
    "neighbouring nodes": _nodes,
    "the same node of two models": _models,
}


@dataclass(frozen=True)
class Value:
    subject: str
    test: str
    draws: int
    p: float


def _whole(seed: int, draws: int) -> Iterator[Value]:
    uniformity, correlation = Uniformity(), Correlation()
    chunks = max(1, draws // CHUNK)
    for step in range(chunks):
        words = halves(CHUNK, seed=seed, step=step)
        uniformity.add(words)
        correlation.add(words)
    for test, p in (uniformity.values() | correlation.values()).items():
        yield Value("one stream", test, chunks * CHUNK, p)


def _pairs(seed: int, draws: int) -> Iterator[Value]:
    for subject, pair in PAIRS.items():
        independence = Independence()
        chunks = max(1, draws // CHUNK)
        for n in range(chunks):
            independence.add(*pair(seed, n))
        for test, p in independence.values().items():
            yield Value(subject, test, independence.pairs, p)


def _derived(seed: int, number: int) -> Iterator[Value]:
    seeds = np.array([reference.derive_seed(seed, index) for index in range(number)], np.uint64)
    for byte in range(8):
        low = (seeds >> np.uint64(8 * byte)) & np.uint64(127 if byte == 7 else 255)
        counts = np.bincount(low.astype(np.int64), minlength=128 if byte == 7 else 256)
        yield Value("derived seeds", f"byte {byte}", number, chi_square(counts))


def values(seed: int, draws: int) -> Iterator[Value]:
    """draws: of the long stream, and of each of the two of a pair."""
    yield from _whole(seed, draws)
    yield from _pairs(seed, draws)
    yield from _derived(seed, min(draws // 1024, 2**16))
