"""Steps that survive checkpointing: torch.utils.checkpoint and paddle.distributed.fleet.utils.recompute.

Checkpointing runs a forward a second time during backward. A plain counter would have moved on by then and
draw other slopes, silently. What checkpointing does restore is the state of the framework's generator, so
each call draws a number from it and remembers its step under that number: a call during backward that draws
the same number again is the recomputation of that call, and takes its step. So do calls whose step did not
come from a counter but from the call of the whole network. Where two forwards drew the same
number (manual_seed before each) and neither has been recomputed yet, nobody can tell them apart: an error.
"""

from __future__ import annotations

import threading
import weakref
from collections import Counter, OrderedDict
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


@dataclass(frozen=True)
class Given:
    """The step that the call of a whole network gave, and the place of the module's call in it.

    elements: what the step takes, as several calls that share it.
    """

    step: Any
    place: int
    elements: int


_DROPPED = object()  # the step of a forward that is known, and whose step is not kept


@dataclass
class _Forward:
    step: Any
    counter: weakref.ref[Any]  # its address may be another one's later
    recomputed: bool = False
    ambiguous: bool = False


class Steps:
    """The steps that seeded modules took; the last `remembered` calls can be recomputed.

    Of given steps, those of many rows, the last are kept that have `elements` numbers together, and the very
    last one in any case.
    """

    def __init__(self, autograd: Autograd, remembered: int = 1 << 16, elements: int = 1 << 24) -> None:
        self._autograd = autograd
        self._remembered = remembered
        self._forwards: OrderedDict[tuple[int, int], _Forward] = OrderedDict()
        self._given: OrderedDict[tuple[int, int], Given] = OrderedDict()
        self._shared = _Shared()
        self._elements = elements
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

    def give(self, counter: Any, given: Given, remember: bool = True) -> None:
        """Remember a step that did not come from the counter, which stays."""
        call = (counter.data_ptr(), self._autograd.mark())
        with self._lock:
            if not self._autograd.in_backward():
                if remember:
                    self._keep(given, counter, call)
            elif call in self._forwards:  # its forward was given the step, and so is its recomputation
                self._forwards[call].recomputed = True

    def _keep(self, step: Any, counter: Any, call: tuple[int, int]) -> None:
        before = self._forwards.get(call)
        waiting = before is not None and before.counter() is not None and not before.recomputed
        if before is not None:
            self._forget(call)
        self._forwards[call] = _Forward(step, weakref.ref(counter), ambiguous=waiting)
        if isinstance(step, Given):
            self._given[call] = step
            self._shared.add(step)
        while self._shared.elements > self._elements and self._shared.steps > 1:
            oldest = next(iter(self._given))
            self._drop_given(oldest)
            # The call itself stays known: a later one with its random numbers must not pass for it.
            self._forwards[oldest].step = _DROPPED
        if len(self._forwards) > self._remembered:
            self._forget(next(iter(self._forwards)))

    def _forget(self, call: tuple[int, int]) -> None:
        del self._forwards[call]
        if call in self._given:
            self._drop_given(call)

    def _drop_given(self, call: tuple[int, int]) -> None:
        self._shared.remove(self._given.pop(call))

    def _recall(self, call: tuple[int, int]) -> Any:
        forward = self._forwards.get(call)
        if forward is None or forward.counter() is None or forward.ambiguous:
            raise InvalidValueError(
                "a seeded RReLU runs during backward, and not with the random numbers of one forward that it "
                f"could repeat: leave {self._autograd.checkpointing}'s preserve_rng_state=True, or pass "
                "step= to the module"
            )
        if forward.step is _DROPPED:
            raise InvalidValueError(
                "a seeded RReLU runs during backward, and the steps of its forward are gone, because "
                f"{self._elements} at most are kept: go backward through fewer forwards at once, or put "
                f"{self._autograd.checkpointing} around the call of the whole network with its step="
            )
        forward.recomputed = True
        return forward.step


class _Shared:
    """How many numbers the given steps have together, each step counted once."""

    def __init__(self) -> None:
        self.elements = 0
        self._uses: Counter[int] = Counter()

    @property
    def steps(self) -> int:
        """How many steps there are."""
        return len(self._uses)

    def add(self, given: Given) -> None:
        """One more call has it."""
        self._uses[id(given.step)] += 1
        if self._uses[id(given.step)] == 1:
            self.elements += given.elements

    def remove(self, given: Given) -> None:
        """One call less."""
        self._uses[id(given.step)] -= 1
        if not self._uses[id(given.step)]:
            del self._uses[id(given.step)]
            self.elements -= given.elements


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
