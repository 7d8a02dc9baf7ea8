"""The in-place calls that torch's TorchScript exporter drops without a word: those that write into views."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from torch.nn import functional

from ort_rrelu.errors import InvalidValueError
from ort_rrelu.torch.module import RReLU

__all__ = ["RReluCalls", "counted_calls"]


@dataclass
class RReluCalls:
    """What a model called while it was traced."""

    calls: int = 0
    writes_into_views: int = 0

    def check(self, nodes: int) -> None:
        """Raise InvalidValueError when nodes are missing and a call wrote into a view."""
        if nodes < self.calls and self.writes_into_views:
            raise InvalidValueError(
                f"dynamo=False: torch's TorchScript exporter wrote {nodes} nodes for {self.calls} calls of "
                "rrelu, for it drops calls in place on a view (chunk, view, t()): use dynamo=True, or the "
                "form that is not in place"
            )


@contextmanager
def counted_calls() -> Iterator[RReluCalls]:
    """Count in a block. Functions are replaced, not intercepted: a torch function mode changes the trace."""
    seen = RReluCalls()

    def note(x: Tensor, in_place: bool) -> None:
        seen.calls += 1
        seen.writes_into_views += in_place and x._is_view()

    def counting(function: Callable[..., Any], in_place: bool) -> Callable[..., Any]:
        @functools.wraps(function)
        def counted(x: Tensor, *args: Any, **kw: Any) -> Any:
            note(x, in_place)
            return function(x, *args, **kw)

        return counted

    forward = RReLU.forward

    def counted_forward(self: RReLU, x: Tensor, *args: Any, **kw: Any) -> Tensor:
        note(x, self.inplace)
        return forward(self, x, *args, **kw)

    in_place = counting(torch.rrelu_, True)
    with ExitStack() as patches:
        for home, name, function in (
            (torch, "rrelu", counting(torch.rrelu, False)),  # torch.nn.functional.rrelu calls it, too
            (torch, "rrelu_", in_place),
            (functional, "rrelu_", in_place),
            (RReLU, "forward", counted_forward),
        ):
            patches.enter_context(mock.patch.object(home, name, function))
        yield seen
