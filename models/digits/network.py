"""The network and the data."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn

from ort_rrelu.torch import RReLU

__all__ = ["Digits", "build", "load", "rrelus"]


@dataclass(frozen=True)
class Digits:
    """Images (n, 1, 8, 8), float32 from 0 to 1, and labels (n,), int64."""

    train_images: Tensor
    train_labels: Tensor
    test_images: Tensor
    test_labels: Tensor


def load(test_size: int = 360) -> Digits:
    """scikit-learn's digits: 1,797 images of handwritten digits that come with the library, shuffled once."""
    images, labels = load_digits(return_X_y=True)
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))
    x = torch.tensor(images, dtype=torch.float32).reshape(-1, 1, 8, 8)[order] / 16
    y = torch.tensor(labels, dtype=torch.int64)[order]
    return Digits(x[test_size:], y[test_size:], x[:test_size], y[:test_size])


def build(seed: int = 2015) -> nn.Sequential:
    """Two convolutions and two linear layers. Weights and slopes repeat: each RReLU has a seed of its own."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1),
        RReLU(seed=seed),
        nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1),
        RReLU(seed=seed + 1),
        nn.Flatten(),
        nn.Linear(512, 64),
        RReLU(seed=seed + 2),
        nn.Linear(64, 10),
    )


def rrelus(network: nn.Module) -> list[RReLU]:
    """The RReLU modules, in order."""
    return [module for module in network.modules() if isinstance(module, RReLU)]
