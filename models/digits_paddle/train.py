"""Training in Paddle, with a progress bar."""

from __future__ import annotations

import numpy as np
import paddle
from paddle import nn
from rich.console import Console

from models.digits.dataset import Digits
from models.digits.progress import training_progress


def train(network: nn.Layer, data: Digits, console: Console, *, epochs: int = 20, batch: int = 64) -> None:
    """Adam on cross entropy; the network is left in train mode."""
    paddle.seed(0)
    order = np.random.default_rng(1)
    optimizer = paddle.optimizer.Adam(2e-3, parameters=network.parameters())
    images, labels = paddle.to_tensor(data.train_images), paddle.to_tensor(data.train_labels)
    network.train()
    with training_progress(console, epochs) as finished:
        for _ in range(epochs):
            shuffled = order.permutation(len(labels))
            for start in range(0, len(shuffled), batch):
                chosen = paddle.to_tensor(shuffled[start : start + batch])
                loss = nn.functional.cross_entropy(network(images[chosen]), labels[chosen])
                loss.backward()
                optimizer.step()
                optimizer.clear_grad()
            finished(float(loss))
