"""The network, in Paddle."""

from __future__ import annotations

import functools

import numpy as np
import paddle
from paddle import nn

from models.digits.comparison import STEP, Network
from models.digits.dataset import Digits
from models.digits.dataset import load as load_in_order
from ort_rrelu.arguments import Array
from ort_rrelu.paddle import RReLU


def load() -> Digits:
    """The digits, shuffled once."""
    return load_in_order(np.random.default_rng(0).permutation)


def build(seed: int = 2015) -> nn.Sequential:
    """Two convolutions and two linear layers. Weights and slopes repeat: each RReLU has a seed of its own."""
    paddle.seed(0)
    return nn.Sequential(
        nn.Conv2D(1, 16, 3, padding=1),
        RReLU(seed=seed),
        nn.MaxPool2D(2),
        nn.Conv2D(16, 32, 3, padding=1),
        RReLU(seed=seed + 1),
        nn.Flatten(),
        nn.Linear(512, 64),
        RReLU(seed=seed + 2),
        nn.Linear(64, 10),
    )


def as_network(network: nn.Layer) -> Network:
    """The network on arrays."""
    rrelus = [layer for layer in network.sublayers() if isinstance(layer, RReLU)]

    @paddle.no_grad()
    def logits(images: Array) -> Array:
        for layer in rrelus:
            assert layer.step is not None
            layer.step.fill_(STEP)
        answer: Array = network(paddle.to_tensor(images)).numpy()
        return answer

    def at_step(layer: RReLU, x: Array) -> Array:
        y: Array = layer(paddle.to_tensor(x), step=STEP).numpy()
        return y

    return Network(network.training, logits, [functools.partial(at_step, layer) for layer in rrelus])
