"""RReLU on DTensors: how the ops may be sharded, and what train mode refuses.

The slopes of a shard would be drawn with its local positions: other slopes than those of the whole tensor.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ort_rrelu.errors import InvalidValueError
from ort_rrelu.torch import ops, private  # noqa: F401  # ops defines torch.ops.ort_rrelu


def check(x: Tensor, training: bool, seed: int | None) -> None:
    """Raise InvalidValueError for a DTensor that train mode cannot take; any other tensor passes."""
    if torch.compiler.is_compiling() or not _loaded():
        return
    from torch.distributed.tensor import DTensor

    _register()
    if training and isinstance(x, DTensor):
        _check_train_mode(x.placements, seed)


def _loaded() -> bool:
    """Has somebody imported DTensor? Without, there are none, and the import takes 0.3 s."""
    return "torch.distributed.tensor" in sys.modules


@functools.cache
def _register() -> None:
    """Tell DTensor about the ops, once."""
    from torch.distributed.tensor import Replicate, Shard
    from torch.distributed.tensor.experimental import register_sharding

    whole = Replicate()

    def pointwise(dimensions: int) -> list[Any]:
        return [whole, *map(Shard, range(dimensions))]

    def rrelu(
        x: Any, lower: float, upper: float, training: bool, seed: int | None = None, step: Any = None
    ) -> list[Any]:
        if training:
            _check_train_mode(x.placements, seed)
        allowed = [whole] if training else pointwise(x.ndim)
        rest = [None] * 4 + [None if step is None else whole]
        return [([placement] * 2, [placement, *rest]) for placement in allowed]

    def rrelu_grad(dy: Any, _noise: Any) -> list[Any]:
        return [([placement], [placement] * 2) for placement in pointwise(dy.ndim)]

    def next_step(_counter: Any, _remember: bool = True) -> list[Any]:
        return [([whole], [whole, None])]

    ours = torch.ops.ort_rrelu
    for op, rule in (
        (ours.rrelu.default, rrelu),
        (ours.rrelu_grad.default, rrelu_grad),
        (ours.next_step.default, next_step),
    ):
        register_sharding(op)(rule)
    private.ask_rule_again(ours.rrelu.default)  # the mode counts


def _check_train_mode(placements: Sequence[Any], seed: int | None) -> None:
    if not all(placement.is_replicate() for placement in placements):
        raise InvalidValueError(
            f"RReLU in train mode: x is a DTensor with placements {tuple(placements)}, whose shards would be "
            "drawn with their local positions: redistribute it to Replicate() before, or call eval()"
        )
    if seed is None:
        raise InvalidValueError(
            "RReLU in train mode: x is a replicated DTensor and the module has no seed, so every process "
            "would draw other slopes: use RReLU(seed=...)"
        )


if _loaded():
    _register()
