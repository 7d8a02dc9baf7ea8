"""The network, in torch."""

from __future__ import annotations

import functools

import torch
from torch import nn

from models.digits.comparison import STEP, Network
from models.digits.dataset import Digits
from models.digits.dataset import load as load_in_order
from ort_rrelu.arguments import Array
from ort_rrelu.torch import RReLU


def load() -> Digits:
    """The digits, shuffled once."""
    generator = torch.Generator().manual_seed(0)
    return load_in_order(lambda n: torch.randperm(n, generator=generator).numpy())


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


def _called_rrelus(network: nn.Module) -> list[RReLU]:
    """The RReLUs that the network calls in its mode, in the order of the calls."""
    called: list[RReLU] = []

    def note(module: nn.Module, *_: object) -> None:
        assert isinstance(module, RReLU)
        called.append(module)

    hooks = [m.register_forward_hook(note) for m in network.modules() if isinstance(m, RReLU)]
    with torch.no_grad():
        network(torch.zeros(1, 1, 8, 8))
    for hook in hooks:
        hook.remove()
    return called


def as_network(network: nn.Module) -> Network:
    """The network on arrays."""
    rrelus = _called_rrelus(network)

    @torch.no_grad()
    def logits(images: Array) -> Array:
        for module in rrelus:
            assert module.step is not None
            module.step.fill_(STEP)
        answer: Array = network(torch.from_numpy(images)).numpy()
        return answer

    def at_step(module: RReLU, x: Array) -> Array:
        y: Array = module(torch.from_numpy(x), step=STEP).numpy()
        return y

    return Network(network.training, logits, [functools.partial(at_step, module) for module in rrelus])
