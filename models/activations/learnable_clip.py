"""A clip whose value is learned."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.activations.constants import as_finite


class LearnableClip(nn.Module):
    """y = x where x < t1, t2 elsewhere (NaN included); any shape, any floating dtype.

    t2 is learned: its gradient is the sum of dy where x >= t1. t1 has none, for a comparison has no
    derivative: it is a parameter that moves with the module and its state_dict, and no optimizer changes
    it. They need no order: with t1 == t2 it is min(x, t1), and t2 goes where training takes it. Never in
    place, so x stays whole for the comparison and for others.

    Args:
        t1: where the clip begins.
        t2: the value there, in the beginning.

    Raises:
        InvalidTypeError, InvalidValueError: t1 or t2 is not a finite number.
    """

    def __init__(self, t1: float, t2: float) -> None:
        super().__init__()
        self.t1 = nn.Parameter(torch.tensor(as_finite(t1, "t1")), requires_grad=False)
        self.t2 = nn.Parameter(torch.tensor(as_finite(t2, "t2")))

    def forward(self, x: Tensor) -> Tensor:
        """Clip of x."""
        return torch.where(x < self.t1, x, self.t2)

    def extra_repr(self) -> str:
        """The thresholds as they are now."""
        return f"t1={self.t1.item():g}, t2={self.t2.item():g}"
