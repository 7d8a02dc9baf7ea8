"""Activations in the notation of Xu et al. 2015 (arXiv:1505.00853), which divides: y = x / a where x < 0."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.activations.constants import as_finite, constant
from ort_rrelu.node_attributes import check_bounds
from ort_rrelu.torch import RReLU


def _divide_negative(x: Tensor, a: Tensor, inplace: bool) -> Tensor:
    y = torch.where(x < 0, x / a, x)
    return x.copy_(y) if inplace else y


class PaperLeakyReLU(nn.Module):
    """Leaky ReLU as the paper has it: y = x / a where x < 0. Any shape, any floating dtype.

    The paper tries a = 100 and a = 5.5, "very leaky". torch's LeakyReLU multiplies: its slope is 1 / a. At
    x == 0 the gradient is 1 here and the slope in torch.

    Args:
        a: greater than 1, as in the paper; it is also what tells a slope given by mistake.
        inplace: write y into x.

    Raises:
        InvalidTypeError, InvalidValueError: a is not a finite number greater than 1.
    """

    def __init__(self, a: float, inplace: bool = False) -> None:
        super().__init__()
        self.a, self.inplace = as_finite(a, "a", above=1), inplace

    def forward(self, x: Tensor) -> Tensor:
        """Leaky ReLU of x."""
        return _divide_negative(x, constant(self.a, x), self.inplace)

    def extra_repr(self) -> str:
        """The arguments."""
        return f"a={self.a}" + (", inplace=True" if self.inplace else "")


class PaperRReLU(nn.Module):
    """RReLU as the paper has it: y = x / a where x < 0; any shape, any floating dtype.

    In train mode a is drawn from U(lower, upper) for each element; in eval mode it is their mean, so with
    the paper's bounds y = x * 2 / (3 + 8). The slope 1 / a is not uniform: small slopes are the likelier
    ones, and their mean is log(upper / lower) / (upper - lower) = 0.196, not the 2/11 = 0.182 of eval mode.
    torch and Paddle draw the slope itself, from U(1/8, 1/3) with mean 0.229: that is ort_rrelu.torch.RReLU.

    Plain operators, so without a seed the exported model runs in any ONNX Runtime, where train mode draws
    with its RandomUniformLike. With a seed the divisors come from RRelu (of -1, whose outputs are -a), and
    torch and ONNX Runtime draw the same ones.

    Args:
        lower, upper: 0 < lower <= upper, finite.
        inplace: write y into x.
        seed: 0 .. 2^63 - 1, or None; call number k in train mode draws step k, as in ort_rrelu.torch.RReLU.

    Raises:
        InvalidTypeError, InvalidValueError: name, value and what is allowed.
    """

    def __init__(
        self, lower: float = 3.0, upper: float = 8.0, inplace: bool = False, *, seed: int | None = None
    ) -> None:
        super().__init__()
        self.lower, self.upper = as_finite(lower, "lower", above=0), as_finite(upper, "upper")
        check_bounds(lower, upper)
        self.inplace = inplace
        self.negated_divisor = None if seed is None else RReLU(lower, upper, seed=seed)

    def forward(self, x: Tensor) -> Tensor:
        """RReLU of x."""
        a = self._draw(x) if self.training else constant((self.lower + self.upper) / 2, x)
        return _divide_negative(x, a, self.inplace)

    def _draw(self, x: Tensor) -> Tensor:
        if self.negated_divisor is None:
            span = constant(self.upper - self.lower, x)
            return constant(self.lower, x) + span * torch.rand_like(x)
        drawn: Tensor = self.negated_divisor(torch.full_like(x, -1))
        return -drawn

    def extra_repr(self) -> str:
        """The arguments."""
        return f"lower={self.lower}, upper={self.upper}" + (", inplace=True" if self.inplace else "")
