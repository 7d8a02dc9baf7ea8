"""Given steps that are kept for recomputations: how many, and what a call gets whose step is not kept."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import pytest

import ort_rrelu
from ort_rrelu.recomputation import Given, Steps


class _Framework:
    """Marks are what the test says."""

    checkpointing = "the checkpoint"

    def __init__(self) -> None:
        self.marked, self.backward = 0, False

    def mark(self) -> int:
        return self.marked

    def in_backward(self) -> bool:
        return self.backward

    def read(self, counter: _Counter) -> int:
        return counter.value

    def advance(self, counter: _Counter) -> None:
        counter.value += 1


class _Counter:
    def __init__(self) -> None:
        self.value = 0

    def data_ptr(self) -> int:
        return id(self)


class _Rows:
    """A step for each of some rows."""


class _Calls:
    """Forwards of two modules, whose calls keep at most 10 numbers of given steps."""

    def __init__(self, remembered: int = 100) -> None:
        self.framework = _Framework()
        self.steps = Steps(self.framework, remembered, elements=10)
        self.modules = _Counter(), _Counter()

    def forward(self, mark: int, rows: int) -> _Rows:
        """Both modules take one step of so many rows; its marks are mark and mark + 1."""
        step = _Rows()
        for i, module in enumerate(self.modules):
            self.framework.marked = mark + i
            self.steps.give(module, Given(step, i, rows))
        return step

    def again(self, mark: int) -> list[Any]:
        """The recomputation of a forward: what its modules take."""
        self.framework.backward = True
        taken = []
        for i, module in enumerate(self.modules):
            self.framework.marked = mark + i
            taken.append(self.steps.take(module))
        self.framework.backward = False
        return taken

    def refused(self, mark: int, match: str) -> None:
        """Each module raises."""
        self.framework.backward = True
        for i, module in enumerate(self.modules):
            self.framework.marked = mark + i
            with pytest.raises(ort_rrelu.Error, match=match):
                self.steps.take(module)
        self.framework.backward = False


_NOT_KEPT = "steps of its forward are gone, because 10 at most are kept: .*put the checkpoint around the call"


def test_a_step_that_modules_share_counts_once() -> None:
    calls = _Calls()
    first, second = calls.forward(0, 5), calls.forward(10, 5)
    for mark, step in ((10, second), (0, first)):
        assert calls.again(mark) == [Given(step, place, 5) for place in (0, 1)]


def test_the_oldest_steps_go_and_their_recomputation_raises() -> None:
    calls = _Calls()
    first = weakref.ref(calls.forward(0, 5))
    others = {mark: calls.forward(mark, 5) for mark in (10, 20)}
    gc.collect()
    assert first() is None
    calls.refused(0, _NOT_KEPT)
    for mark, step in others.items():
        assert calls.again(mark) == [Given(step, place, 5) for place in (0, 1)]
    calls.refused(0, _NOT_KEPT)


def test_the_last_steps_are_kept_whatever_their_number() -> None:
    calls = _Calls()
    calls.forward(0, 5)
    step = calls.forward(10, 1000)
    assert calls.again(10) == [Given(step, place, 1000) for place in (0, 1)]
    calls.refused(0, _NOT_KEPT)
    calls.forward(20, 3)
    calls.refused(10, _NOT_KEPT)


def test_a_later_forward_never_passes_for_one_that_is_not_kept() -> None:
    """With the same random numbers, as after torch.manual_seed."""
    calls = _Calls()
    calls.forward(0, 5)
    calls.forward(10, 10)
    calls.forward(0, 5)
    calls.refused(0, "random numbers of one forward")


def test_counted_steps_stay_when_given_ones_go() -> None:
    calls = _Calls()
    calls.framework.marked = 5
    for module in calls.modules:
        assert calls.steps.take(module) == 0
    for mark in range(10, 50, 10):
        calls.forward(mark, 9)
    calls.framework.marked, calls.framework.backward = 5, True
    assert [calls.steps.take(module) for module in calls.modules] == [0, 0]


def test_calls_beyond_the_number_that_is_remembered_raise() -> None:
    calls = _Calls(remembered=4)
    first = weakref.ref(calls.forward(0, 1))
    others = {mark: calls.forward(mark, 1) for mark in (10, 20)}
    gc.collect()
    assert first() is None
    calls.refused(0, "random numbers of one forward")
    for mark, step in others.items():
        assert calls.again(mark) == [Given(step, place, 1) for place in (0, 1)]
