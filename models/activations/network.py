"""A network with every one of the activations, for 8 x 8 images of digits."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from models.activations.registry import build_activation

# Each RReLU has a seed of its own, so that train mode repeats and can be compared bit for bit.
_AFTER_CONVOLUTIONS: tuple[dict[str, Any], ...] = (
    {"type": "PReLU", "num_parameters": 16, "inplace": True},
    {"type": "RReLU", "seed": 2015},
    {"type": "PaperRReLU", "seed": 2016},
)
_AFTER_LINEAR: tuple[dict[str, Any], ...] = (
    {"type": "LeakyReLU", "negative_slope": 0.1, "inplace": True},
    {"type": "PaperLeakyReLU", "a": 5.5},
    {"type": "PReLU"},
    {"type": "Softplus"},
    {"type": "SoftplusFunction"},
    {"type": "MyReLU"},
    {"type": "ReLU", "inplace": True},
    {"type": "LearnableClip", "t1": 1.0, "t2": 1.0},
)


class _Residual(nn.Sequential):
    """x + f(x): eight activations in a row would hardly train otherwise."""

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = x + super().forward(x)  # type: ignore[no-untyped-call]
        return y


def build() -> nn.Sequential:
    """(n, 1, 8, 8) -> logits (n, 10); the same weights in every run."""
    torch.manual_seed(0)
    prelu, rrelu, paper = map(build_activation, _AFTER_CONVOLUTIONS)
    convolutions = (
        *(nn.Conv2d(1, 16, 3, padding=1), prelu, nn.MaxPool2d(2)),
        *(nn.Conv2d(16, 32, 3, padding=1), rrelu),
        *(nn.Conv2d(32, 16, 3, padding=1), paper),
    )
    residuals = (_Residual(nn.Linear(64, 64), build_activation(cfg)) for cfg in _AFTER_LINEAR)
    return nn.Sequential(*convolutions, nn.Flatten(), nn.Linear(256, 64), *residuals, nn.Linear(64, 10))
