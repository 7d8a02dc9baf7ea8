"""The learnable clip at work: it finds at which value an amplifier saturates."""

from __future__ import annotations

import torch
from torch import nn

from models.activations.learnable_clip import LearnableClip

SATURATION = 0.75


def learn_threshold(clip: LearnableClip, steps: int = 100) -> list[float]:
    """Fit clip.t2 to readings that follow x below clip.t1 and are SATURATION elsewhere, with noise.

    Returns:
        t2 before each step, and in the end.
    """
    generator = torch.Generator().manual_seed(0)
    optimizer = torch.optim.SGD([p for p in clip.parameters() if p.requires_grad], lr=0.2)
    history = [clip.t2.item()]
    for _ in range(steps):
        x = torch.empty(256).uniform_(-1, 2, generator=generator)
        noise = 0.01 * torch.randn(256, generator=generator)
        readings = torch.where(x < clip.t1.detach(), x, SATURATION) + noise
        loss = nn.functional.mse_loss(clip(x), readings)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        history.append(clip.t2.item())
    return history
