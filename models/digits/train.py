"""Training in torch, with a progress bar."""

from __future__ import annotations

import torch
from rich.console import Console
from torch import nn

from models.digits.dataset import Digits
from models.digits.progress import training_progress


def train(network: nn.Module, data: Digits, console: Console, *, epochs: int = 20, batch: int = 64) -> None:
    """Adam on cross entropy; the network is left in train mode."""
    torch.manual_seed(0)
    optimizer = torch.optim.Adam(network.parameters(), lr=2e-3)
    images, labels = torch.from_numpy(data.train_images), torch.from_numpy(data.train_labels)
    network.train()
    with training_progress(console, epochs) as finished:
        for _ in range(epochs):
            for chosen in torch.randperm(len(labels)).split(batch):  # type: ignore[no-untyped-call]
                loss = nn.functional.cross_entropy(network(images[chosen]), labels[chosen])
                optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
            finished(loss.item())
