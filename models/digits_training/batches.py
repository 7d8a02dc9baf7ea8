"""The batches of an epoch, the same for every way of training."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from models.digits.dataset import Digits
from ort_rrelu.arguments import Array

BATCH = 64


def batches(data: Digits, epoch: int, seed: int = 0) -> Iterator[tuple[Array, Array]]:
    """Images and labels of each batch, in an order of the epoch's own; the last one may be smaller."""
    generator = np.random.default_rng(epoch if not seed else [epoch, seed])
    order = generator.permutation(len(data.train_labels))
    for chosen in np.split(order, range(BATCH, len(order), BATCH)):
        yield data.train_images[chosen], data.train_labels[chosen]
