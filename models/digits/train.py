"""Training in torch, with a progress bar."""

from __future__ import annotations

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from torch import nn

from models.digits.network import Digits

__all__ = ["accuracy", "train"]


def accuracy(logits: torch.Tensor, labels: torch.Tensor) -> float:
    """The share of right answers, 0 to 1."""
    return float((logits.argmax(1) == labels).float().mean())


def train(network: nn.Module, data: Digits, console: Console, *, epochs: int = 20, batch: int = 64) -> None:
    """Adam on cross entropy; the network is left in train mode."""
    torch.manual_seed(0)
    optimizer = torch.optim.Adam(network.parameters(), lr=2e-3)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("loss {task.fields[loss]:.3f}"),
        TimeElapsedColumn(),
    )
    network.train()
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("training, epoch", total=epochs, loss=float("nan"))
        for _ in range(epochs):
            for chosen in torch.randperm(len(data.train_labels)).split(batch):  # type: ignore[no-untyped-call]
                loss = nn.functional.cross_entropy(
                    network(data.train_images[chosen]), data.train_labels[chosen]
                )
                optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
            progress.update(task, advance=1, loss=loss.item())
