"""Peak of the bytes that a training step of torch allocates, with torch's RReLU and with ours.

python -m tests.benchmarks.memory
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

import ort_rrelu.torch

_DEEP = 10
_SIZE = 2**22  # floats of each activation
_CHANNELS, _SIDE, _BATCH = 16, 128, 16
_FEATURES = 256

Make = Callable[[], nn.Module]


def _chain(make: Make) -> nn.Module:
    return nn.Sequential(*(make() for _ in range(_DEEP)))


def _convolutions(make: Make) -> nn.Module:
    return _pairs(lambda: nn.Conv2d(_CHANNELS, _CHANNELS, 3, padding=1), make)


def _linear(make: Make) -> nn.Module:
    return _pairs(lambda: nn.Linear(_FEATURES, _FEATURES), make)


def _pairs(layer: Make, make: Make) -> nn.Module:
    return nn.Sequential(*(each() for _ in range(_DEEP) for each in (layer, make)))


@dataclass(frozen=True)
class _Network:
    build: Callable[[Make], nn.Module]
    shape: tuple[int, ...]
    inplace: bool = False


_NETWORKS = {
    "a chain of ten RReLUs": _Network(_chain, (_SIZE,)),
    "ten pairs of convolution and RReLU": _Network(_convolutions, (_BATCH, _CHANNELS, _SIDE, _SIDE)),
    "ten pairs of linear layer and RReLU in place": _Network(
        _linear, (_SIZE // _FEATURES, _FEATURES), inplace=True
    ),
    "ten pairs of convolution and RReLU in place": _Network(
        _convolutions, (_BATCH, _CHANNELS, _SIDE, _SIDE), inplace=True
    ),
}
_MODULES: dict[str, type[nn.RReLU]] = {"torch": nn.RReLU, "ours": ort_rrelu.torch.RReLU}


def peaks() -> dict[str, float]:
    """Network -> ours over torch's peak."""
    return {name: of["ours"] / of["torch"] for name, of in _all_bytes()}


def _all_bytes() -> Iterator[tuple[str, dict[str, int]]]:
    for name, network in _NETWORKS.items():
        bytes_of = {}
        for whose, module in _MODULES.items():
            torch.manual_seed(0)
            net = network.build(functools.partial(module, inplace=network.inplace))
            bytes_of[whose] = peak_bytes(net, torch.randn(network.shape).requires_grad_())
        yield name, bytes_of


def peak_bytes(net: nn.Module, x: Tensor) -> int:
    """The most that a step from x to its gradient has allocated at a time, and not freed yet."""
    with torch.profiler.profile(
        activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True
    ) as profile:
        torch.autograd.backward(net(x).sum())
    assert profile.profiler is not None
    events = profile.profiler.kineto_results.events()
    allocations = sorted((e for e in events if e.name() == "[memory]"), key=lambda e: e.start_ns())
    held = most = 0
    for event in allocations:
        held += event.nbytes()
        most = max(most, held)
    return most


if __name__ == "__main__":
    for name, of in _all_bytes():
        megabytes = {whose: size / 2**20 for whose, size in of.items()}
        print(f"{name}: torch {megabytes['torch']:.0f} MiB, ours {megabytes['ours']:.0f} MiB, ", end="")
        print(f"{of['ours'] / of['torch']:.2f}")
