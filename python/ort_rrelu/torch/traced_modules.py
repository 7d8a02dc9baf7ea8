"""Which module each call of a seeded RReLU in a TorchScript trace comes from."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import torch
from torch import Tensor

from ort_rrelu.torch.module import RReLU
from ort_rrelu.torch.torchscript import MODULE

__all__ = ["tagged_calls"]

_OP, _WRITE = "ort_rrelu::rrelu", "aten::copy_"


@contextmanager
def tagged_calls() -> Iterator[None]:
    """In the block a traced call carries the number of its module, which scopes and names do not tell.

    A module is in the scope that called it, and may have several names.
    """
    numbers: dict[int, int] = {}
    forward = RReLU.forward

    def tagging(self: RReLU, x: Tensor, *args: Any, **kw: Any) -> Tensor:
        y = forward(self, x, *args, **kw)
        if self.seed is not None and torch.jit.is_tracing():  # type: ignore[attr-defined, no-untyped-call]
            _tag(y, numbers.setdefault(id(self), len(numbers)))
        return y

    with mock.patch.object(RReLU, "forward", tagging):
        yield


def _tag(y: Tensor, number: int) -> None:
    node = torch._C._get_value_trace(y).node()  # type: ignore[attr-defined]
    if node.kind() == _WRITE:
        node = list(node.inputs())[1].node()
    if node.kind() == _OP:
        node.i_(MODULE, number)
