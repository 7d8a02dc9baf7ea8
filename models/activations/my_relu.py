"""MyReLU: how torch's tutorial teaches to write a torch.autograd.Function, ReLU with both passes by hand."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


class _ReLU(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor) -> Tensor:
        # Not clamp: the TorchScript exporter writes it with the largest finite number as its other end.
        return torch.where(x < 0, torch.zeros_like(x), x)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return torch.where(x < 0, 0, dy)


class MyReLU(nn.Module):
    """y = max(x, 0), any shape; floating dtypes. The gradient at 0 is 1, as in the tutorial; torch's is 0."""

    def __init__(self) -> None:
        super().__init__()  # torch's own would take, and drop, anything

    def forward(self, x: Tensor) -> Tensor:
        """ReLU of x."""
        y: Tensor = _ReLU.apply(x)  # type: ignore[no-untyped-call]
        return y
