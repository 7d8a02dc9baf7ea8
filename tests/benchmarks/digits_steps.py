"""Training steps of the digits network at batch 16: the speed with our modules over that with torch.nn.RReLU.

python -m tests.benchmarks.digits_steps
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable

import torch
from torch import nn

from models.digits.dataset import Digits
from models.digits.network import build, load
from ort_rrelu.torch import RReLU

_BATCH, _ROUNDS, _WARM_UP = 16, 400, 20

_MODULES: dict[str, Callable[[int], nn.Module]] = {
    "torch": lambda _seed: nn.RReLU(),
    "ours": lambda _seed: RReLU(),
    "ours, seeded": lambda seed: RReLU(seed=seed),
}


def speeds() -> dict[str, float]:
    """Whose -> the speed over torch's; by the fastest of many steps, which take turns."""
    torch.set_num_threads(1)
    data = load()
    steps = {whose: _step(_network(make), data) for whose, make in _MODULES.items()}
    best = dict.fromkeys(steps, float("inf"))
    for turn in range(_WARM_UP + _ROUNDS):
        for whose, step in steps.items():
            begin = time.perf_counter()
            step()
            taken = time.perf_counter() - begin
            if turn >= _WARM_UP:
                best[whose] = min(best[whose], taken)
    return {whose: best["torch"] / best[whose] for whose in steps if whose != "torch"}


def _network(make: Callable[[int], nn.Module]) -> nn.Module:
    layers = build()
    return nn.Sequential(
        *(make(place) if isinstance(each, nn.RReLU) else each for place, each in enumerate(layers))
    )


def _step(network: nn.Module, data: Digits) -> Callable[[], None]:
    """As models.digits.train has it."""
    optimizer = torch.optim.Adam(network.parameters(), lr=2e-3)
    pairs = zip(
        torch.from_numpy(data.train_images).split(_BATCH),  # type: ignore[no-untyped-call]
        torch.from_numpy(data.train_labels).split(_BATCH),  # type: ignore[no-untyped-call]
        strict=True,
    )
    full = itertools.cycle([pair for pair in pairs if len(pair[0]) == _BATCH])

    def step() -> None:
        images, labels = next(full)
        loss = nn.functional.cross_entropy(network(images), labels)
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()

    return step


if __name__ == "__main__":
    for whose, speed in speeds().items():
        print(f"{whose}: {speed:.3f} of the speed with torch.nn.RReLU")
