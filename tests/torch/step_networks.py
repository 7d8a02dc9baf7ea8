"""A network for accept_step, and what it computes by the reference."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor, nn

from ort_rrelu import reference
from ort_rrelu.torch import RReLU
from tests.onnx_models import Array
from tests.torch.arrays import array

SEEDS = 3, 4


class Net(nn.Module):
    """One RReLU at two places, another one, and multiplications by powers of two, which round nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.shared, self.block = RReLU(seed=SEEDS[0]), nn.Sequential(nn.Identity(), RReLU(seed=SEEDS[1]))

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.block(self.shared(self.shared(x * 2) * 4))
        return y


def expected_of(x: Tensor, step: Any) -> Array:
    """What Net computes, by the reference."""

    def drawn(x: Array, seed: int) -> Array:
        y: Array = reference.rrelu(x, training=True, seed=seed, step=np.asarray(step))
        return y

    y = drawn(array(x) * 2, SEEDS[0])
    return drawn(drawn(y * 4, reference.derive_seed(SEEDS[0], 1)), SEEDS[1])


def counts(net: nn.Module) -> list[int]:
    """What the counters of its RReLUs say."""
    return [int(module.step or 0) for module in net.modules() if isinstance(module, RReLU)]
