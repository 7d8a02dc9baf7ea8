"""torch's RReLU and ours, as modules: what a call costs on small tensors, and on large ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import ort_rrelu.torch

MODULES: dict[str, Callable[[], nn.Module]] = {
    "torch.nn.RReLU": nn.RReLU,
    "our module": ort_rrelu.torch.RReLU,
    "our seeded module": lambda: ort_rrelu.torch.RReLU(seed=1),
}
SIZES = (1_000, 100_000, 1_000_000)


def _forward(module: nn.Module, x: Tensor) -> None:
    with torch.no_grad():
        module(x)


def _forward_and_backward(module: nn.Module, x: Tensor) -> None:
    module(x).sum().backward()


WORK: dict[str, Callable[[nn.Module, Tensor], None]] = {
    "forward": _forward,
    "forward and backward": _forward_and_backward,
    "eval": _forward,
}


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("work", WORK)
@pytest.mark.parametrize("name", MODULES)
def bench_module(benchmark: Any, name: str, work: str, size: int) -> None:
    benchmark.extra_info |= {"network": name, "mode": f"{work}, {size} elements", "threads": 1}
    torch.set_num_threads(1)
    module = MODULES[name]().train(work != "eval")
    x = torch.randn(size).requires_grad_(work == "forward and backward")
    run = WORK[work]
    run(module, x)
    benchmark(run, module, x)
