"""Steps that survive torch.utils.checkpoint.

Checkpointing runs a forward a second time during backward. A plain counter would have moved on by then and
draw other slopes, silently. What checkpointing does restore is the state of torch's generator, so each call
draws a number from it and remembers its step under that number: a call during backward that draws the same
number again is the recomputation of that call, and takes its step.
"""

from __future__ import annotations

import threading
from collections import OrderedDict

import torch
from torch import Tensor

from ort_rrelu.errors import InvalidValueError

__all__ = ["Steps"]


def _in_backward() -> bool:
    return torch._C._current_graph_task_id() != -1


class Steps:
    """The steps that seeded modules took; the last `remembered` calls can be recomputed."""

    def __init__(self, remembered: int) -> None:
        self._remembered = remembered
        self._step_of: OrderedDict[tuple[int, int], int] = OrderedDict()
        self._lock = threading.Lock()

    def take(self, counter: Tensor) -> int:
        """The counter's value, which moves on by one; in a recomputation, the value of the first time."""
        mark = int(torch.randint(2**63 - 1, (), dtype=torch.int64))
        call = (counter.data_ptr(), mark)
        with self._lock:
            return self._recall(call) if _in_backward() else self._advance(counter, call)

    def _advance(self, counter: Tensor, call: tuple[int, int]) -> int:
        step = int(counter)
        counter.add_(1)
        self._step_of[call] = step
        self._step_of.move_to_end(call)
        if len(self._step_of) > self._remembered:
            self._step_of.popitem(last=False)
        return step

    def _recall(self, call: tuple[int, int]) -> int:
        if call in self._step_of:
            return self._step_of[call]
        raise InvalidValueError(
            "a seeded RReLU runs during backward, and not with the random numbers of a forward that it could "
            "repeat: leave torch.utils.checkpoint's preserve_rng_state=True, or pass step= to the module"
        )
