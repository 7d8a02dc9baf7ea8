"""The networks that are compared: one layout, one beginning, three ways to draw slopes."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from models.digits import network as digits
from ort_rrelu.torch import RReLU, accept_step


def _with_steps() -> nn.Sequential:
    return accept_step(digits.build())


def _with_torchs_own() -> nn.Sequential:
    network = digits.build()
    return nn.Sequential(*(nn.RReLU() if isinstance(each, RReLU) else each for each in network))


# Name -> network. Only the first one is called with step=.
KINDS: dict[str, Callable[[], nn.Sequential]] = {
    "accept_step": _with_steps,
    "seeds alone": digits.build,
    "nn.RReLU": _with_torchs_own,
}


def build(kind: str, dtype: torch.dtype, rank: int) -> nn.Sequential:
    """In train mode. What torch draws from now on differs between ranks, as it should in a training."""
    network = KINDS[kind]().to(dtype)
    torch.manual_seed(rank)
    return network
