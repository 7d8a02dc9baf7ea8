"""The data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from sklearn.datasets import load_digits

from ort_rrelu.arguments import Array


@dataclass(frozen=True)
class Digits:
    """Images (n, 1, 8, 8), float32 from 0 to 1, and labels (n,), int64."""

    train_images: Array
    train_labels: Array
    test_images: Array
    test_labels: Array


def load(permutation: Callable[[int], Array], test_size: int = 360) -> Digits:
    """scikit-learn's digits: 1,797 images of handwritten digits that come with the library.

    permutation: n -> the order in which the n images are taken, the test images first.
    """
    images, labels = load_digits(return_X_y=True)
    order = permutation(len(labels))
    x = images.astype(np.float32).reshape(-1, 1, 8, 8)[order] / 16
    y = labels.astype(np.int64)[order]
    return Digits(x[test_size:], y[test_size:], x[:test_size], y[:test_size])
