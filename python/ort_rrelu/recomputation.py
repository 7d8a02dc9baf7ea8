"""Steps that survive checkpointing: torch.utils.checkpoint and paddle.distributed.fleet.utils.recompute.

Checkpointing runs a forward a second time during backward. A plain counter would have moved on by then and
draw other slopes, silently. What checkpointing does restore is the state of the framework's generator, so
each call draws a number from it and remembers its step under that number: a call during backward that draws
the same number again is the recomputation of that call, and takes its step. Where two forwards drew the same
number (manual_seed before each) and neither has been recomputed yet, nobody can tell them apart: an error.
"""

from __future__ import annotations

import threading
import weakref
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, Protocol

from ort_rrelu.errors import InvalidValueError


class Autograd(Protocol):
    """What a framework tells about a call. Counters are its int64 tensors of one element."""

    checkpointing: str

    def mark(self) -> int:
        """A number drawn from the generator whose state checkpointing restores."""

    def in_backward(self) -> bool:
        """Does this thread run a backward pass?"""

    def read(self, counter: Any) -> Any:
        """The counter's value, to be kept: a number, or a copy where that is on a device."""

    def advance(self, counter: Any) -> None:
        """Add one to the counter, in place."""


@dataclass
class _Forward:
    step: Any
    counter: weakref.ref[Any]  # its address may be another one's later
    recomputed: bool = False
    ambiguous: bool = False


class Steps:
    """The steps that seeded modules took; the last `remembered` calls can be recomputed."""

    def __init__(self, autograd: Autograd, remembered: int = 1 << 16) -> None:
        self._autograd = autograd
        self._remembered = remembered
        self._forwards: OrderedDict[tuple[int, int], _Forward] = OrderedDict()
        self._lock = threading.Lock()

    def take(self, counter: Any, remember: bool = True) -> Any:
        """The counter's value, which moves on by one; in a recomputation, the value of the first time.

        remember=False: a recomputation of this call will be refused.

        Raises InvalidValueError when a recomputation cannot be told from the other forwards.
        """
        call = (counter.data_ptr(), self._autograd.mark())
        with self._lock:
            if self._autograd.in_backward():
                return self._recall(call)
            step = self._autograd.read(counter)
            self._autograd.advance(counter)
            if remember:
                self._keep(step, counter, call)
            return step

    def _keep(self, step: Any, counter: Any, call: tuple[int, int]) -> None:
        before = self._forwards.pop(call, None)
        waiting = before is not None and before.counter() is not None and not before.recomputed
        self._forwards[call] = _Forward(step, weakref.ref(counter), ambiguous=waiting)
        if len(self._forwards) > self._remembered:
            self._forwards.popitem(last=False)

    def _recall(self, call: tuple[int, int]) -> Any:
        forward = self._forwards.get(call)
        if forward is None or forward.counter() is None or forward.ambiguous:
            raise InvalidValueError(
                "a seeded RReLU runs during backward, and not with the random numbers of one forward that it "
                f"could repeat: leave {self._autograd.checkpointing}'s preserve_rng_state=True, or pass "
                "step= to the module"
            )
        forward.recomputed = True
        return forward.step


class Draws:
    """The random numbers of unseeded modules: a recomputation must draw those of a forward.

    It does where checkpointing restores the generator, and has wrong gradients where it does not. Of the
    forwards the last `remembered` are known.
    """

    def __init__(self, autograd: Autograd, remembered: int = 1 << 16) -> None:
        self._autograd = autograd
        self._remembered = remembered
        self._drawn: OrderedDict[tuple[int, int], weakref.ref[Any]] = OrderedDict()
        self._lock = threading.Lock()

    def check(self, module: Any, number: int) -> None:
        """Remember the number that a forward drew; InvalidValueError for a new one during backward."""
        call = (id(module), number)
        with self._lock:
            if not self._autograd.in_backward():
                self._drawn[call] = weakref.ref(module)  # its id may be another one's later
                if len(self._drawn) > self._remembered:
                    self._drawn.popitem(last=False)
            elif call not in self._drawn or self._drawn[call]() is not module:
                raise InvalidValueError(
                    "an RReLU without a seed runs during backward, and draws other slopes than any forward: "
                    f"leave {self._autograd.checkpointing}'s preserve_rng_state=True, or give the module a "
                    "seed and step="
                )
