"""Numbers in the formulas of activations."""

from __future__ import annotations

from torch import Tensor


def constant(value: float, x: Tensor) -> Tensor:
    """The value as a tensor of no dimension, in x's dtype, on x's device.

    torch's default exporter keeps 24 bits of a Python number, also beside float64 (torch 2.13).
    """
    return x.new_tensor(value)
