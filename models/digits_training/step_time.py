"""One training step of the digits network: ONNX Runtime (road B), torch, and torch with its fused Adam."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping

import torch
from torch import nn

from models.digits import network as digits
from models.digits.dataset import Digits
from models.digits_training.batches import batches
from models.digits_training.result import LEARNING_RATE
from models.digits_training.road_b import export, new_trainer

NAMES = _OURS, _TORCH, _FUSED = "road B", "torch", "torch, fused Adam"


def contenders(data: Digits) -> Mapping[str, Callable[[], object]]:
    """Name -> a function that does one step with AdamW on one batch, on one thread."""
    x, y = next(batches(data, 0))
    trainer = new_trainer(export(digits.build()))
    return {
        _OURS: lambda: trainer.step(x, y),
        _TORCH: _in_torch(x, y, fused=False),
        _FUSED: _in_torch(x, y, fused=True),
    }


def _in_torch(x: object, y: object, *, fused: bool) -> Callable[[], float]:
    network = digits.build().train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=LEARNING_RATE, fused=fused)
    images, labels = torch.as_tensor(x), torch.as_tensor(y)

    def step() -> float:
        torch.set_num_threads(1)
        loss = nn.functional.cross_entropy(network(images), labels)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        return loss.item()  # as Trainer.step gives it

    return step


def interleaved(runs: Mapping[str, Callable[[], object]], repeat: int = 100) -> dict[str, float]:
    """The median seconds of each, one after the other, so that a noisy minute meets them alike."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(repeat):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            times[name].append(time.perf_counter() - start)
    return {name: statistics.median(each) for name, each in times.items()}
