"""Steps that survive torch.utils.checkpoint.

Checkpointing runs a forward a second time during backward. A plain counter would have moved on by then and
draw other slopes, silently. What checkpointing does restore is the state of torch's generator, so each call
draws a number from it and remembers its step under that number: a call during backward that draws the same
number again is the recomputation of that call, and takes its step. Where two forwards drew the same number
(torch.manual_seed before each) and neither has been recomputed yet, nobody can tell them apart: an error.
"""

from __future__ import annotations

import threading
import weakref
from collections import OrderedDict
from dataclasses import dataclass

import torch
from torch import Tensor

from ort_rrelu.errors import InvalidValueError

__all__ = ["Steps"]


def _in_backward() -> bool:
    return torch._C._current_graph_task_id() != -1


@dataclass
class _Forward:
    step: int
    counter: weakref.ref[Tensor]  # its address may be another one's later
    recomputed: bool = False
    ambiguous: bool = False


class Steps:
    """The steps that seeded modules took; the last `remembered` calls can be recomputed."""

    def __init__(self, remembered: int) -> None:
        self._remembered = remembered
        self._forwards: OrderedDict[tuple[int, int], _Forward] = OrderedDict()
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
        before = self._forwards.pop(call, None)
        waiting = before is not None and before.counter() is not None and not before.recomputed
        self._forwards[call] = _Forward(step, weakref.ref(counter), ambiguous=waiting)
        if len(self._forwards) > self._remembered:
            self._forwards.popitem(last=False)
        return step

    def _recall(self, call: tuple[int, int]) -> int:
        forward = self._forwards.get(call)
        if forward is None or forward.ambiguous:
            raise InvalidValueError(
                "a seeded RReLU runs during backward, and not with the random numbers of one forward that it "
                "could repeat: leave torch.utils.checkpoint's preserve_rng_state=True, or pass step= to the "
                "module"
            )
        forward.recomputed = True
        return forward.step
