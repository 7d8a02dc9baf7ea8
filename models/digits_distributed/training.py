"""The training loop, as a user of torch writes it, in any number of processes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, distributed, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, Dataset
from torch.utils.data.distributed import DistributedSampler

from models.digits.dataset import Digits
from models.digits_distributed.networks import build
from models.digits_distributed.recorder import Recorder
from ort_rrelu.arguments import Array

_BATCH = 64  # of all processes together


class Samples(Dataset[tuple[Tensor, Tensor, int]]):
    """Image, label and index: a sample's number goes with it, wherever it is dealt to."""

    def __init__(self, data: Digits, dtype: torch.dtype) -> None:
        self._images = torch.from_numpy(data.train_images).to(dtype)
        self._labels = torch.from_numpy(data.train_labels)

    def __len__(self) -> int:
        return len(self._labels)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor, int]:
        return self._images[index], self._labels[index], index


def _alone(network: nn.Module) -> nn.Module:
    return network


def _sharded(network: nn.Module) -> nn.Module:
    mesh = init_device_mesh("cpu", (distributed.get_world_size(),))
    for layer in network.children():
        if list(layer.parameters()):
            fully_shard(layer, mesh=mesh)
    fully_shard(network, mesh=mesh)
    return network


@dataclass(frozen=True)
class Way:
    """How a batch is dealt out: to how many processes, wrapped in what, in how many parts in each."""

    processes: int
    wrap: Callable[[nn.Module], nn.Module] = _alone
    parts: int = 1


WAYS = {
    "one process": Way(1),
    "one process, four micro-batches": Way(1, parts=4),
    "two processes, DDP": Way(2, DistributedDataParallel),
    "two processes, FSDP2": Way(2, _sharded),
}


def train(kind: str, way: Way, data: Digits, dtype: torch.dtype, epochs: int) -> tuple[list[Array], Array]:
    """This process's part: for each layer the noise of its samples, and the weights after the last step."""
    rank, samples = distributed.get_rank(), Samples(data, dtype)
    network = build(kind, dtype, rank)
    recorder = Recorder(network, epochs * len(samples))
    model = way.wrap(network)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    sampler: DistributedSampler[Samples] = DistributedSampler(samples, way.processes, rank, drop_last=True)
    loader = DataLoader(samples, _BATCH // way.processes, sampler=sampler, drop_last=True)
    for epoch in range(epochs):
        sampler.set_epoch(epoch)
        for images, labels, index in loader:
            numbers = epoch * len(samples) + index
            for part in torch.arange(len(index)).chunk(way.parts):
                recorder.expect(numbers[part])
                steps = {"step": numbers[part]} if kind == "accept_step" else {}
                loss = nn.functional.cross_entropy(model(images[part], **steps), labels[part])
                (loss / way.parts).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            optimizer.zero_grad()
    return recorder.noise, _weights(network)


def _weights(network: nn.Module) -> Array:
    """All of them in one row; processes that have a part each put them together."""
    whole = (p.full_tensor() if isinstance(p, DTensor) else p for p in network.parameters())
    weights: Array = torch.cat([each.detach().flatten() for each in whole]).numpy()
    return weights
