"""What many draws say together: the predictive distribution, its entropy, and how far draws disagree."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ort_rrelu.arguments import Array


@dataclass(frozen=True)
class Prediction:
    """Of N images. Entropies are in bits.

    distribution: (N, classes), the mean of the draws' probabilities. entropy: its entropy.
    disagreement: that, less the mean entropy of a draw: 0 where all draws say the same.
    spread: (N, classes), the standard deviation of the draws' probabilities.
    """

    distribution: Array
    entropy: Array
    disagreement: Array
    spread: Array


def predicted(logits: Array) -> Prediction:
    """From logits of shape (draws, N, classes)."""
    probabilities = softmax(logits)
    distribution = probabilities.mean(axis=0)
    total = entropy(distribution)
    return Prediction(
        distribution, total, total - entropy(probabilities).mean(axis=0), probabilities.std(axis=0)
    )


def softmax(logits: Array) -> Array:
    """Probabilities along the last axis, in double."""
    powers = np.exp(logits.astype(np.float64) - logits.max(axis=-1, keepdims=True))
    probabilities: Array = powers / powers.sum(axis=-1, keepdims=True)
    return probabilities


def entropy(probabilities: Array) -> Array:
    """Bits, along the last axis."""
    logarithms = np.log2(probabilities, where=probabilities > 0, out=np.zeros_like(probabilities))
    bits: Array = -(probabilities * logarithms).sum(axis=-1)
    return bits
