"""Networks for training tests, and the same training in torch and through a step model."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from torch import Tensor, nn
from torch.nn import functional

from ort_rrelu.arguments import Array
from ort_rrelu.torch import RReLU
from ort_rrelu.training import Trainer, export_step

_IMAGE = (2, 8, 8)


def _convolutional(*layers: nn.Module) -> nn.Sequential:
    """The layers on images (n, 2, 8, 8), and a linear layer on what they give."""
    with torch.no_grad():
        features = nn.Sequential(*layers, nn.Flatten()).eval()(torch.zeros(1, *_IMAGE)).shape[1]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(features, 10))


class _Shared(nn.Module):
    """One weight at two places, a frozen one, a buffer that is assigned, one that state_dict lacks."""

    mean: Tensor
    scale: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.last = nn.Linear(128, 128), nn.Linear(128, 128), nn.Linear(128, 10)
        self.second.weight = self.first.weight
        self.activation = RReLU(seed=31)
        self.frozen = nn.Parameter(torch.rand(128), requires_grad=False)
        self.unused = nn.Parameter(torch.rand(3))
        self.register_buffer("mean", torch.zeros(128))
        self.register_buffer("scale", torch.full((128,), 0.5), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        x = self.activation(self.first(x.flatten(1)) * self.frozen)
        if self.training:
            self.mean = 0.9 * self.mean + 0.1 * x.detach().mean(0)
        y: Tensor = self.last(self.second(x - self.mean) * self.scale)
        return y


# Every layer that export_step promises. Each RReLU has a seed of its own. No bias and no LayerNorm stand
# before BatchNorm: their gradient is 0 but for rounding, which Adam makes steps of.
NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "linear": lambda: nn.Sequential(
        nn.Flatten(), nn.Linear(128, 32), RReLU(seed=1), nn.Linear(32, 16), RReLU(seed=2), nn.Linear(16, 10)
    ),
    "everything": lambda: _convolutional(
        *(nn.Conv2d(2, 8, 3, padding=2, dilation=2, groups=2, bias=False), nn.BatchNorm2d(8), RReLU(seed=3)),
        *(nn.MaxPool2d(3, stride=2, padding=1), nn.Conv2d(8, 8, (2, 3), stride=(1, 2), padding=1), nn.GELU()),
        *(nn.AvgPool2d(2, stride=1, padding=1, count_include_pad=False), nn.LayerNorm((8, 6, 3), eps=1e-12)),
        RReLU(seed=4, inplace=True),
    ),
    "shared and frozen": _Shared,
}

# The same layers by kind, and more of them: `nox -s training_long` runs these, `make test` does not.
MORE_NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "convolutions": lambda: _convolutional(
        *(nn.Conv2d(2, 8, 3, padding=1, groups=2, bias=False), RReLU(seed=3)),
        *(nn.Conv2d(8, 8, (2, 3), stride=2, padding=1), RReLU(seed=4)),
        *(nn.Conv2d(8, 6, 2, padding=(1, 2), dilation=2, groups=2), RReLU(seed=5)),
    ),
    "pooling": lambda: _convolutional(
        *(nn.Conv2d(2, 6, 3, padding=1), nn.MaxPool2d(3, stride=2, padding=1), RReLU(seed=6)),
        *(nn.Conv2d(6, 6, 3, padding=1), nn.AvgPool2d(3, stride=2, padding=1, count_include_pad=False)),
    ),
    "norms": lambda: _convolutional(
        *(nn.Conv2d(2, 6, 3, bias=False), nn.BatchNorm2d(6), RReLU(seed=7), nn.MaxPool2d(2), nn.Flatten()),
        *(nn.Linear(54, 16, bias=False), nn.BatchNorm1d(16), RReLU(seed=8), nn.LayerNorm(16, eps=1e-12)),
    ),
    "activations": lambda: nn.Sequential(
        *(nn.Flatten(), nn.Linear(128, 32), nn.ReLU(), nn.Linear(32, 32), nn.LeakyReLU(0.1, inplace=True)),
        *(nn.Linear(32, 32), nn.PReLU(32), nn.Linear(32, 32), nn.GELU(), nn.Linear(32, 32), nn.SiLU()),
        *(nn.Linear(32, 32), nn.Tanh(), nn.Linear(32, 32), nn.Sigmoid(), nn.Linear(32, 32), nn.ELU()),
        *(nn.Linear(32, 32), nn.Softplus(), nn.Linear(32, 32), RReLU(0.3, 0.6, inplace=True, seed=8)),
        nn.Linear(32, 10),
    ),
    "convolution": lambda: _convolutional(
        nn.Conv2d(2, 6, 3), RReLU(seed=3), nn.Conv2d(6, 4, 3), RReLU(seed=4)
    ),
    "convolution depthwise": lambda: _convolutional(
        nn.Conv2d(2, 8, 3, padding=1, groups=2, bias=False), RReLU(seed=5), nn.Conv2d(8, 8, 3, groups=8)
    ),
    "convolution dilation and stride": lambda: _convolutional(
        nn.Conv2d(2, 6, 3, padding=2, dilation=2, groups=2),
        RReLU(seed=7),
        nn.Conv2d(6, 6, 2, stride=2, dilation=3, padding=(1, 2), groups=3),
    ),
    "convolution transposed": lambda: _convolutional(
        nn.ConvTranspose2d(2, 6, 3, stride=2, padding=1, output_padding=1, groups=2), RReLU(seed=8)
    ),
    "convolution 1d": lambda: nn.Sequential(
        nn.Flatten(2), nn.Conv1d(2, 4, 5, stride=3, groups=2), RReLU(seed=9), nn.Flatten(), nn.Linear(80, 10)
    ),
    "max pool": lambda: _convolutional(
        nn.Conv2d(2, 6, 3, padding=1), RReLU(seed=10), nn.MaxPool2d(2), nn.Conv2d(6, 6, 3), nn.MaxPool2d(2)
    ),
    "average pool": lambda: _convolutional(
        nn.Conv2d(2, 6, 3, padding=1), RReLU(seed=13), nn.AvgPool2d(2), nn.Conv2d(6, 6, 3), RReLU(seed=14)
    ),
    "average pool ceil": lambda: _convolutional(
        nn.Conv2d(2, 6, 3, padding=1), RReLU(seed=15), nn.AvgPool2d((3, 2), (2, 1), padding=1, ceil_mode=True)
    ),
    "average pool global": lambda: _convolutional(
        nn.Conv2d(2, 16, 3, padding=1), RReLU(seed=16), nn.AdaptiveAvgPool2d(1)
    ),
    "batch norm without running statistics": lambda: _convolutional(
        nn.Conv2d(2, 6, 3, bias=False),
        nn.BatchNorm2d(6, track_running_stats=False, affine=False),
        RReLU(seed=17),
    ),
    "group norm": lambda: _convolutional(nn.Conv2d(2, 6, 3), nn.GroupNorm(2, 6), RReLU(seed=18)),
}

OPTIMIZERS: dict[str, tuple[str, dict[str, Any], type[torch.optim.Optimizer]]] = {
    "sgd": ("sgd", {"lr": 0.05}, torch.optim.SGD),
    "momentum": ("sgd", {"lr": 0.02, "momentum": 0.9, "weight_decay": 1e-3}, torch.optim.SGD),
    "nesterov": ("sgd", {"lr": 0.02, "momentum": 0.9, "nesterov": True}, torch.optim.SGD),
    "adam": ("adam", {"lr": 2e-3}, torch.optim.Adam),
    "adam with decay": ("adam", {"lr": 2e-3, "betas": (0.4, 0.9), "weight_decay": 1e-2}, torch.optim.Adam),
    "adamw": ("adamw", {"lr": 2e-3, "eps": 1e-4}, torch.optim.AdamW),
}

Batches = Sequence[tuple[Tensor, Tensor]]


def build(name: str) -> nn.Module:
    """The same weights at every call."""
    torch.manual_seed(0)
    return (NETWORKS | MORE_NETWORKS)[name]().train()


def batches(count: int, sizes: Sequence[int] = (12, 7)) -> Batches:
    """Images (n, 2, 8, 8) whose class is the brightest of ten pixels, n taken from `sizes` in turn."""
    generator = torch.Generator().manual_seed(1)
    images = (torch.randn(sizes[i % len(sizes)], *_IMAGE, generator=generator) for i in range(count))
    return [(x, x.flatten(1)[:, :10].argmax(1)) for x in images]


def train_both(
    module: nn.Module, trainer: Trainer, optimizer: torch.optim.Optimizer, data: Batches
) -> list[tuple[float, float]]:
    """One step for each batch; the losses in torch and in ONNX Runtime."""
    losses = []
    for x, y in data:
        loss = functional.cross_entropy(module(x), y)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        losses.append((loss.item(), trainer.step(x.numpy(), y.numpy())))
    return losses


def largest_difference(module: nn.Module, state_dict: dict[str, Array]) -> float:
    """Between the entries of torch's state_dict and these, relative to the largest of each (at least 0.1)."""
    expected = {name: value.numpy() for name, value in module.state_dict().items()}
    assert sorted(expected) == sorted(state_dict)
    return max(
        float(np.abs(value - state_dict[name]).max() / max(np.abs(value).max(), 0.1))
        for name, value in expected.items()
    )


def new_trainer(step: onnx.ModelProto | Path) -> Trainer:
    """On one thread: the others would wait for work in a loop, on the processor that torch needs."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return Trainer(step, options)


@functools.cache
def resumable_step() -> onnx.ModelProto:
    """A step with all that a stop could lose: slopes, dropout, running statistics, moments."""
    torch.manual_seed(0)
    module = nn.Sequential(
        *(nn.Linear(8, 16), nn.BatchNorm1d(16), RReLU(seed=5), nn.Dropout(0.2)),
        *(nn.Linear(16, 16), nn.RReLU(), nn.Linear(16, 3)),
    )
    example = torch.zeros(4, 8), torch.zeros(4, dtype=torch.int64)
    return export_step(module, functional.cross_entropy, example, optimizer="adamw", lr=0.01, seed=9)


def resumable_batch(step: int) -> tuple[Array, Array]:
    """The batch of a step of `resumable_step`."""
    x = np.random.default_rng(step).normal(size=(16, 8)).astype(np.float32)
    return x, x[:, :3].argmax(1)
