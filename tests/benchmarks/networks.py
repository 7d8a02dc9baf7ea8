"""The torch networks that are exported and timed: four convolutions, and resnet18 with RReLU for ReLU."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import torch
from torch import nn

Activation = Callable[[], nn.Module]


def convolutions(activation: Activation) -> nn.Sequential:
    """Four of them, each with an activation; images [n, 1, height, width]."""
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    for channels in (1, 64, 64, 64):
        layers += [nn.Conv2d(channels, 64, 3, padding=1), activation()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))


class _Block(nn.Module):
    """Two convolutions beside a shortcut, as He et al. (2015) have it."""

    def __init__(self, inputs: int, outputs: int, activation: Activation) -> None:
        super().__init__()
        stride = 1 if inputs == outputs else 2
        self.first = nn.Sequential(_convolution(inputs, outputs, 3, stride), activation())
        self.second = _convolution(outputs, outputs, 3, 1)
        self.shortcut = nn.Identity() if stride == 1 else _convolution(inputs, outputs, 1, stride)
        self.activation = activation()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.activation(self.second(self.first(x)) + self.shortcut(x))
        return y


def _convolution(inputs: int, outputs: int, size: int, stride: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, size, stride, padding=size // 2, bias=False), nn.BatchNorm2d(outputs)
    )


def resnet18(activation: Activation) -> nn.Sequential:
    """For images [n, 3, 224, 224]."""
    torch.manual_seed(0)
    widths = (64, 64, 64, 128, 128, 256, 256, 512, 512)
    blocks = [_Block(a, b, activation) for a, b in itertools.pairwise(widths)]
    stem = [_convolution(3, 64, 7, 2), activation(), nn.MaxPool2d(3, 2, 1)]
    return nn.Sequential(*stem, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 1000))
