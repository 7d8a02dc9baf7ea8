"""Counted steps of seeded modules, which a recomputation of torch.utils.checkpoint finds again."""

from __future__ import annotations

import torch
from torch import Tensor

from ort_rrelu.errors import InvalidValueError
from ort_rrelu.recomputation import Given, Steps
from ort_rrelu.torch import private


class _Autograd:
    checkpointing = "torch.utils.checkpoint"

    def mark(self) -> int:
        return int(torch.randint(2**63 - 1, (), dtype=torch.int64))

    def in_backward(self) -> bool:
        return private.in_backward()

    def read(self, counter: Tensor) -> int | Tensor:
        return counter.clone() if counter.is_cuda else int(counter)

    def advance(self, counter: Tensor) -> None:
        counter.add_(1)


_steps = Steps(_Autograd())


class GivenStepError(InvalidValueError):
    """What `take` has for the recomputation of a call that did not count: its step, and more."""

    def __init__(self, given: Given) -> None:
        super().__init__(
            "a compiled RReLU runs again during backward, and took its step from the call of the network in "
            "the forward: compile it together with its torch.utils.checkpoint, or pass step= to the module"
        )
        self.given = given


def take(counter: Tensor, remember: bool = True) -> int | Tensor:
    """The step of this call; the counter moves on unless a forward is being recomputed.

    remember=False: no recomputation will find this call's step, and nothing outlives the call.

    Returns:
        A number, or where the counter is on CUDA an int64 there, which must not be written to.
    """
    step: int | Tensor | Given = _steps.take(counter, remember and not _capturing(counter))
    if isinstance(step, Given):
        raise GivenStepError(step)
    return step


def remember(counter: Tensor, step: Tensor, place: int) -> None:
    """Let a recomputation of this call find the step that it was given. The counter is that of its module."""
    if private.in_fake_mode() or counter.is_meta:
        return
    local = _local(counter)
    _steps.give(local, Given(step, place, step.numel()), not _capturing(local))


def _local(counter: Tensor) -> Tensor:
    """What is in a DTensor, which is the same everywhere."""
    local: Tensor = counter if type(counter) is Tensor else counter.to_local()  # type: ignore[attr-defined]
    return local


def _capturing(counter: Tensor) -> bool:
    """Is a CUDA graph being captured, whose memory is the graph's and must not be kept?"""
    return counter.is_cuda and torch.cuda.is_current_stream_capturing()
