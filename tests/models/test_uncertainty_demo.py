"""The parts of `make demo-uncertainty`: how an image is turned, and what entropies say."""

from __future__ import annotations

import numpy as np

from models.digits_uncertainty.prediction import entropy, predicted
from models.digits_uncertainty.turning import turned


def test_quarter_turns() -> None:
    image = np.random.default_rng(0).random((1, 8, 8), np.float32)
    images = turned(image, np.array([0, 90, 180]))
    for quarters, found in zip((0, 1, 2), images, strict=True):
        np.testing.assert_allclose(found[0], np.rot90(image[0], quarters), atol=1e-5)


def test_entropy_in_bits() -> None:
    np.testing.assert_allclose(entropy(np.array([[1, 0], [0.5, 0.5]])), [0, 1])


def test_draws_that_disagree_and_draws_that_are_unsure() -> None:
    sure = np.array([[[50.0, 0]], [[0, 50.0]]])
    unsure = np.zeros((2, 1, 2))
    for logits, disagreement in ((sure, 1), (unsure, 0)):
        found = predicted(logits)
        np.testing.assert_allclose(found.distribution, [[0.5, 0.5]])
        np.testing.assert_allclose([found.entropy[0], found.disagreement[0]], [1, disagreement], atol=1e-9)
