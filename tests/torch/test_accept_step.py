"""accept_step: a whole network is called with step=, and all of its RReLUs draw with it."""

from __future__ import annotations

import copy
import pickle
import threading
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import ort_rrelu
from ort_rrelu import reference
from ort_rrelu.torch import RReLU, accept_step
from tests.bits import assert_same_bits
from tests.torch.arrays import array, normal
from tests.torch.step_networks import SEEDS, Net, counts, expected_of


@pytest.mark.parametrize("rows", [0, 1, 2, 5])
def test_every_module_draws_with_the_steps_of_the_call(rows: int) -> None:
    net, x, steps = accept_step(Net()), normal(rows, 7), torch.arange(rows) * 3 - 4
    assert_same_bits(array(net(x, step=steps)), expected_of(x, steps))
    assert counts(net) == [0, 0]


@pytest.mark.parametrize("step", [7, -1, torch.tensor(2**40)])
def test_one_number_draws_each_input_as_one_tensor(step: Any) -> None:
    net, x = accept_step(Net()), normal(5, 7)
    assert_same_bits(array(net(x, step=step)), expected_of(x, int(step)))


@pytest.mark.parametrize("call", [lambda net, x: net(x), lambda net, x: net(x, step=None)])
def test_without_a_step_modules_count(call: Callable[[nn.Module, Tensor], Tensor]) -> None:
    net, plain, x = accept_step(Net()), Net(), normal(5, 7)
    for _ in range(2):
        net(x, step=torch.arange(5))
        assert_same_bits(array(call(net, x)), array(plain(x)))
    assert counts(net) == [4, 2]


def test_steps_are_copied_when_the_call_begins() -> None:
    steps, x = torch.arange(5), normal(5, 7)

    class Overwrites(Net):
        def forward(self, x: Tensor) -> Tensor:
            steps.fill_(9)
            return super().forward(x)

    assert_same_bits(array(accept_step(Overwrites())(x, step=steps)), expected_of(x, torch.arange(5)))


def test_a_step_of_the_module_itself_goes_first_and_is_a_call() -> None:
    class Explicit(Net):
        def forward(self, x: Tensor) -> Tensor:
            y: Tensor = self.shared(self.shared(x, step=8))
            return y

    x, steps = normal(5, 7), torch.arange(5)
    first = reference.rrelu(array(x), training=True, seed=SEEDS[0], step=8)
    derived = reference.derive_seed(SEEDS[0], 1)
    second = reference.rrelu(first, training=True, seed=derived, step=steps.numpy())
    assert_same_bits(array(accept_step(Explicit())(x, step=steps)), second)


def test_modules_in_eval_mode_do_not_look() -> None:
    net, x = accept_step(nn.Sequential(nn.Flatten(0), nn.RReLU(), RReLU())), normal(5, 7)
    net.eval()
    assert_same_bits(array(net(x, step=torch.arange(3))), array(net(x)))


def test_state_and_copies_are_those_of_the_network() -> None:
    net, x, steps = accept_step(nn.Sequential(nn.Linear(7, 7), RReLU(seed=3))), normal(5, 7), torch.arange(5)
    assert list(net.state_dict()) == ["0.weight", "0.bias"]
    assert accept_step(net) is net
    expected = array(net(x, step=steps))
    for twin in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert_same_bits(array(twin(x, step=steps)), expected)


class _Folded(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.ModuleDict({"act": RReLU(seed=5)})

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.inner["act"](x.flatten(0, 1))
        return y


_REFUSED: dict[str, tuple[Callable[[], nn.Module], Any, str]] = {
    "torch's own": (nn.RReLU, torch.arange(2), "RReLU module '0' is torch's own, .*replace_rrelu"),
    "unseeded": (RReLU, 3, "RReLU module '0' has no seed, .*RReLU\\(seed="),
    "other rows": (
        _Folded,
        torch.arange(2),
        r"RReLU module '0.inner.act': x has shape \[6, 4\], and step has shape \[2\]",
    ),
    "a column": (Net, torch.zeros(2, 1, dtype=torch.int64), r"step has dtype torch.int64 and shape \[2, 1\]"),
    "int32": (Net, torch.zeros(2, dtype=torch.int32), "step has dtype torch.int32"),
    "float": (Net, 1.5, "step=1.5 is not an integer"),
    "bool": (Net, True, "step=True is not an integer"),
    "65 bits": (Net, 2**64, f"step={2**64}"),
}


@pytest.mark.parametrize(("make", "step", "message"), _REFUSED.values(), ids=_REFUSED)
def test_refused_calls(make: Callable[[], nn.Module], step: Any, message: str) -> None:
    net = accept_step(nn.Sequential(make()))
    with pytest.raises(ort_rrelu.Error, match=message):
        net(normal(2, 3, 4), step=step)
    layer = RReLU(seed=5)
    layer(normal(3))
    assert int(layer.step or 0) == 1


def test_one_row_is_no_step_of_a_folded_input() -> None:
    with pytest.raises(ort_rrelu.Error, match=r"x has shape \[3, 4\], and step has shape \[1\]"):
        accept_step(_Folded())(normal(1, 3, 4), step=torch.arange(1))


def test_an_unseeded_module_that_the_network_does_not_own_is_refused() -> None:
    stray = RReLU()

    class Calls(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            y: Tensor = stray(x)
            return y

    with pytest.raises(ort_rrelu.Error, match=r"RReLU module 'RReLU\(lower=.*' has no seed"):
        accept_step(Calls())(normal(2), step=3)


_NOT_ALLOWED: dict[str, tuple[Callable[[], Any], str]] = {
    "no module": (lambda: 3, "net is of type int"),
    "scripted": (lambda: torch.jit.script(nn.Linear(2, 2)), "scripted module"),
    "DataParallel": (lambda: nn.Sequential(nn.DataParallel(Net())), r"DataParallel\(accept_step\("),
    "a parameter step": (RReLU, "forward of RReLU has a parameter step"),
}


@pytest.mark.filterwarnings("ignore:`torch.jit.script`")
@pytest.mark.parametrize(("make", "message"), _NOT_ALLOWED.values(), ids=_NOT_ALLOWED)
def test_networks_that_are_not_allowed(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(ort_rrelu.Error, match=message):
        accept_step(make())


class _Stops(nn.Module):
    """Raises in the middle of a forward, once."""

    def __init__(self, error: type[BaseException]) -> None:
        super().__init__()
        self.error: type[BaseException] | None = error

    def forward(self, x: Tensor) -> Tensor:
        error, self.error = self.error, None
        if error is not None:
            raise error("stop")
        return x


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_the_step_ends_with_a_forward_that_raised(error: type[BaseException]) -> None:
    layer, x = RReLU(seed=5), normal(5, 7)
    net = accept_step(nn.Sequential(layer, _Stops(error)))
    with pytest.raises(error, match="stop") as caught:
        net(x, step=torch.arange(5))
    for step in (0, 1):
        assert_same_bits(array(layer(x)), reference.rrelu(array(x), training=True, seed=5, step=step))
    assert_same_bits(array(net(x)), reference.rrelu(array(x), training=True, seed=5, step=2))
    assert caught.value.__traceback__ is not None  # which keeps what ran


def test_networks_inside_each_other() -> None:
    """The inner step goes before the outer one, which is back afterwards."""
    inner, x, steps = accept_step(Net()), normal(5, 7), torch.arange(5)

    class Outer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner, self.last = inner, RReLU(seed=9)

        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            with pytest.raises(ort_rrelu.Error, match="shape"):
                self.inner(x, step=torch.zeros(2, 2, dtype=torch.int64))
            return self.last(self.inner(x, step=4)), self.inner(x)

    last, second = accept_step(Outer())(x, step=steps)
    expected = reference.rrelu(expected_of(x, 4), training=True, seed=9, step=steps.numpy())
    assert_same_bits(array(last), expected)
    assert_same_bits(array(second), expected_of(x, steps))


def test_a_network_that_calls_itself() -> None:
    class Recursive(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.act = RReLU(seed=SEEDS[0])

        def forward(self, x: Tensor, depth: int = 0) -> Tensor:
            y: Tensor = self.act(self(x, 1) * 4) if depth == 0 else self.act(x)
            return y

    net, x, steps = accept_step(Recursive()), normal(5, 7), torch.arange(5)
    first = reference.rrelu(array(x), training=True, seed=SEEDS[0], step=steps.numpy())
    derived = reference.derive_seed(SEEDS[0], 1)
    second = reference.rrelu(first * 4, training=True, seed=derived, step=steps.numpy())
    assert_same_bits(array(net(x, step=steps)), second)


def _in_threads(calls: list[Callable[[], Tensor]]) -> list[Tensor]:
    """Their results; all are inside of their forwards at one time."""
    results: dict[int, Tensor] = {}

    def run(i: int) -> None:
        results[i] = calls[i]()

    threads = [threading.Thread(target=run, args=(i,)) for i in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [results[i] for i in range(len(calls))]


def test_each_thread_has_the_steps_of_its_own_forward() -> None:
    """As torch.nn.DataParallel calls copies of a network, which share its hooks."""
    meet = threading.Barrier(3)

    class Meets(Net):
        def forward(self, x: Tensor) -> Tensor:
            meet.wait(60)
            y = super().forward(x)
            meet.wait(60)
            return y

    net, x, steps = accept_step(Meets()), normal(6, 7), torch.arange(6) * 5

    def replica(part: slice) -> Callable[[], Tensor]:
        twin = net._replicate_for_data_parallel()  # type: ignore[no-untyped-call]
        return lambda: twin(x[part], step=steps[part])

    plain = Net()

    def without() -> Tensor:
        meet.wait(60)
        y: Tensor = plain(x)
        meet.wait(60)
        return y

    *parts, counted = _in_threads([replica(slice(0, 4)), replica(slice(4, 6)), without])
    assert_same_bits(array(torch.cat(parts)), expected_of(x, steps))
    assert_same_bits(array(counted), array(Net()(x)))
