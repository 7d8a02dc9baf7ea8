"""RReLU on DTensors: how the ops may be sharded, and what train mode refuses.

The slopes of a shard would be drawn with its local positions: other slopes than those of the whole tensor.
Where each row has a step of its own, shards of whole rows are no trouble.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ort_rrelu.errors import InvalidValueError
from ort_rrelu.torch import kernels, ops, private  # noqa: F401  # ops defines torch.ops.ort_rrelu


def check(x: Tensor, training: bool, seed: int | None, step: Any) -> Any:
    """Raise InvalidValueError for a DTensor that train mode cannot take; any other tensor passes.

    Returns the step as x needs it: steps of rows that are a plain tensor are those of the whole DTensor.
    """
    if torch.compiler.is_compiling() or not _loaded():
        return step
    from torch.distributed.tensor import DTensor, Replicate

    _register()
    if not isinstance(x, DTensor):
        return step
    rows = isinstance(step, Tensor) and kernels.are_rows(step)
    if training:
        _check_train_mode(x.placements, seed, rows)
    if not rows or isinstance(step, DTensor):
        return step
    return DTensor.from_local(step.to(x.device), x.device_mesh, [Replicate()] * x.device_mesh.ndim)


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
        rows = step is not None and len(step.shape) == 1 and step.shape[0] != 1
        if training:
            _check_train_mode(x.placements, seed, rows)
        allowed = pointwise(x.ndim)
        if training:
            allowed = allowed[: 2 if rows else 1]
        return [
            ([placement] * 2, [placement, *[None] * 4, of_step(placement, step, rows)])
            for placement in allowed
        ]

    def of_step(placement: Any, step: Any, rows: bool) -> Any:
        if step is None:
            return None
        return placement if rows and placement.is_shard(0) else whole

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


def _check_train_mode(placements: Sequence[Any], seed: int | None, rows: bool) -> None:
    if not all(placement.is_replicate() or (rows and placement.is_shard(0)) for placement in placements):
        raise InvalidValueError(
            f"RReLU in train mode: x is a DTensor with placements {tuple(placements)}, whose shards would be "
            "drawn with their local positions: redistribute it to Replicate() before, or call eval(); "
            "Shard(0) is allowed where step= has a step for each row"
        )
    if seed is None:
        raise InvalidValueError(
            "RReLU in train mode: x is a replicated DTensor and the module has no seed, so every process "
            "would draw other slopes: use RReLU(seed=...)"
        )


if _loaded():
    _register()
