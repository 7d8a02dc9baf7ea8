"""Softplus, log(1 + exp(x)), stable for large |x|: as operators, and as a torch.autograd.Function."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from models.activations.constants import as_finite, constant


def _log1p(z: Tensor) -> Tensor:
    """log(1 + z) for z from 0 to 1, with what 1 + z rounded away put back.

    ONNX has no Log1p: both of torch's exporters write Log(1 + z), which is 0 for small z.
    """
    u = 1 + z
    return torch.log(u) - ((u - 1) - z) / u


def softplus(x: Tensor) -> Tensor:
    """log(1 + exp(x)) of x, any shape, any floating dtype, in operators that ONNX Runtime has in double, too.

    No exponential overflows, and none vanishes before it is below the smallest number. The gradient is
    sigmoid(x), also at 0; the second derivative is not to be had at exactly 0, where |x| has none.
    """
    # Not clamp or relu: at 0 the gradient must be the mean of both sides.
    return torch.maximum(x, torch.zeros_like(x)) + _log1p(torch.exp(-x.abs()))


class _Softplus(torch.autograd.Function):
    """Softplus with its backward by hand: it saves x alone, where autograd saves every intermediate value."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor) -> Tensor:
        return softplus(x)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return dy * torch.sigmoid(x)


class Softplus(nn.Module):
    """y = log(1 + exp(beta * x)) / beta, as torch.nn.Softplus, without its threshold: none is needed.

    Any shape, any floating dtype.

    Args:
        beta: greater than 0.

    Raises:
        InvalidTypeError, InvalidValueError: beta is not a finite number greater than 0.
    """

    def __init__(self, beta: float = 1.0) -> None:
        super().__init__()
        self.beta = as_finite(beta, "beta", above=0)

    def forward(self, x: Tensor) -> Tensor:
        """Softplus of x."""
        if self.beta == 1:
            return self._softplus(x)
        beta = constant(self.beta, x)
        # Apart from the part that decays, which may take any |x| * beta, also one that overflows.
        return torch.maximum(x, torch.zeros_like(x)) + self._softplus(-x.abs() * beta) / beta

    def _softplus(self, x: Tensor) -> Tensor:
        return softplus(x)

    def extra_repr(self) -> str:
        """The arguments."""
        return f"beta={self.beta}"


class SoftplusFunction(Softplus):
    """The same values through a torch.autograd.Function, whose second derivative is right at 0, too."""

    def _softplus(self, x: Tensor) -> Tensor:
        y: Tensor = _Softplus.apply(x)  # type: ignore[no-untyped-call]
        return y
