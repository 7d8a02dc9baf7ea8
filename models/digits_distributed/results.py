"""What the processes of a training wrote, put together, and compared with the training in one process."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ort_rrelu.arguments import Array


@dataclass(frozen=True)
class Training:
    """noise: for each layer (draws, elements), NaN for samples that were left out. weights: one row."""

    noise: list[Array]
    weights: Array


@dataclass(frozen=True)
class Comparison:
    """equal of pairs (sample, layer) have the same slopes, bit for bit.

    other_signs: how many inputs of rectifiers are positive in one training and not in the other.
    difference: the largest of a weight.
    """

    equal: int
    pairs: int
    other_signs: int
    difference: float


def read(folder: Path) -> Training:
    """One training from the files of its processes.

    Raises ValueError where two processes have one sample, or end with different weights.
    """
    files = [dict(np.load(path)) for path in sorted(folder.glob("*.npz"))]
    weights = [file.pop("weights") for file in files]
    if not all(np.array_equal(weights[0], each) for each in weights):
        raise ValueError(f"{folder}: the processes end with different weights")
    return Training([_joined([file[layer] for file in files]) for layer in files[0]], weights[0])


def _joined(parts: list[Array]) -> Array:
    drawn = [~np.isnan(part).any(axis=1) for part in parts]
    if sum(drawn).max() > 1:  # type: ignore[union-attr]
        raise ValueError("two processes have one sample")
    whole = parts[0].copy()
    for part, rows in zip(parts[1:], drawn[1:], strict=True):
        whole[rows] = part[rows]
    return whole


def compare(one: Training, other: Training) -> Comparison:
    """Of all samples of `one`. Slopes are compared where both used one, x being negative in both."""
    equal = pairs = other_signs = 0
    for mine, theirs in zip(one.noise, other.noise, strict=True):
        drawn = ~np.isnan(mine).any(axis=1)
        pairs += int(drawn.sum())
        positive = mine[drawn] == 1, theirs[drawn] == 1
        # NaN, where a sample is missing, equals nothing.
        same = (mine[drawn] == theirs[drawn]) | positive[0] | positive[1]
        equal += int((same.all(axis=1) & ~np.isnan(theirs[drawn]).any(axis=1)).sum())
        other_signs += int((positive[0] != positive[1]).sum())
    return Comparison(equal, pairs, other_signs, float(abs(one.weights - other.weights).max()))
