"""accept_step where torch runs a forward again or compiles it: torch.utils.checkpoint and torch.compile."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch._dynamo.testing
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

import ort_rrelu
from ort_rrelu.recomputation import Steps
from ort_rrelu.torch import accept_step, steps
from tests.bits import assert_same_bits
from tests.onnx_models import Array
from tests.torch.arrays import array, normal
from tests.torch.step_networks import Net, counts, expected_of

both_checkpoints = pytest.mark.parametrize("use_reentrant", [True, False], ids=["reentrant", "non-reentrant"])
Wrap = Callable[[nn.Module, Tensor, Tensor], Tensor]


class _Weighted(nn.Module):
    """With weights, and its middle under checkpoint if so asked."""

    def __init__(self, **checkpointed: Any) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.net, self.last = nn.Linear(7, 7), Net(), nn.Linear(7, 7)
        self.checkpointed = checkpointed

    def _middle(self, x: Tensor) -> Tensor:
        y: Tensor = self.net(self.first(x))
        return y

    def forward(self, x: Tensor) -> Tensor:
        middle = checkpoint(self._middle, x, **self.checkpointed) if self.checkpointed else self._middle(x)
        y: Tensor = self.last(middle)
        return y


def _gradients(net: nn.Module, wrap: Wrap, forwards: int, *, between: Callable[[], None]) -> list[Array]:
    torch.manual_seed(1)
    inputs = [normal(5, 7).roll(i).requires_grad_() for i in range(forwards)]
    losses = [wrap(net, x, torch.arange(5) * 2 + 100 * i).sin().sum() for i, x in enumerate(inputs)]
    between()
    for loss in reversed(losses):
        loss.backward()  # type: ignore[no-untyped-call]
    return [array(leaf.grad) for leaf in (*net.parameters(), *inputs) if leaf.grad is not None]


def _plainly(net: nn.Module, x: Tensor, step: Tensor) -> Tensor:
    y: Tensor = net(x, step=step)
    return y


def _check_gradients(net: nn.Module, wrap: Wrap, forwards: int = 2) -> None:
    """They are those of a network that is not checkpointed; its calls between do not matter."""
    expected = _gradients(accept_step(_Weighted()), _plainly, forwards, between=lambda: None)

    def others() -> None:
        net(normal(3, 7).requires_grad_(), step=torch.arange(3))

    actual = _gradients(net, wrap, forwards, between=others)
    assert len(actual) == len(expected) > 4
    for a, e in zip(actual, expected, strict=True):
        assert_same_bits(a, e)


@both_checkpoints
@pytest.mark.parametrize("forwards", [1, 3])
def test_a_recomputation_takes_the_steps_of_its_forward(use_reentrant: bool, forwards: int) -> None:
    net = accept_step(_Weighted(use_reentrant=use_reentrant))
    _check_gradients(net, _plainly, forwards)
    assert counts(net) == [0, 0]


@both_checkpoints
@pytest.mark.parametrize("inside", [False, True], ids=["around", "around and inside"])
def test_checkpoint_around_the_network(use_reentrant: bool, inside: bool) -> None:
    kind: dict[str, Any] = {"use_reentrant": use_reentrant}

    def around(net: nn.Module, x: Tensor, step: Tensor) -> Tensor:
        y: Tensor = checkpoint(lambda t: net(t, step=step), x, **kind)
        return y

    _check_gradients(accept_step(_Weighted(**(kind if inside else {}))), around)


@both_checkpoints
def test_checkpoint_around_the_network_needs_no_random_state(use_reentrant: bool) -> None:
    def around(net: nn.Module, x: Tensor, step: Tensor) -> Tensor:
        y: Tensor = checkpoint(
            lambda t: net(t, step=step), x, use_reentrant=use_reentrant, preserve_rng_state=False
        )
        return y

    _check_gradients(accept_step(_Weighted()), around)


@both_checkpoints
def test_a_recomputation_that_cannot_find_its_forward_raises(use_reentrant: bool) -> None:
    net = accept_step(_Weighted(use_reentrant=use_reentrant, preserve_rng_state=False))
    y = net(normal(5, 7).requires_grad_(), step=torch.arange(5))
    with pytest.raises(ort_rrelu.Error, match="preserve_rng_state=True, or pass step= to the module"):
        y.sum().backward()


@both_checkpoints
def test_steps_that_are_not_kept_any_more(use_reentrant: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps, "_steps", Steps(steps._Autograd(), elements=8))
    net = accept_step(_Weighted(use_reentrant=use_reentrant))
    first = net(normal(5, 7).requires_grad_(), step=torch.arange(5) + 7)
    _check_gradients(net, _plainly, forwards=1)
    with pytest.raises(ort_rrelu.Error, match="the steps of its forward are gone"):
        first.sum().backward()


class _Backward(nn.Module):
    """A network whose forward goes backward through another one."""

    def forward(self, loss: Tensor) -> Tensor:
        loss.backward()  # type: ignore[no-untyped-call]
        return loss


def _gradients_inside(net: nn.Module, around: nn.Module) -> list[Array]:
    """As _gradients of one forward, its backward inside of a forward of `around` that has other steps."""
    x = normal(5, 7).requires_grad_()
    torch.manual_seed(1)
    around(_plainly(net, x, torch.arange(5) * 2).sin().sum(), step=torch.arange(5) + 100)
    return [array(leaf.grad) for leaf in (*net.parameters(), x) if leaf.grad is not None]


@both_checkpoints
def test_backward_inside_of_another_forward(use_reentrant: bool) -> None:
    """It recomputes the earlier forward, and not with the steps of the one that runs."""
    net = accept_step(_Weighted(use_reentrant=use_reentrant))
    actual = _gradients_inside(net, accept_step(_Backward()))
    expected = _gradients(accept_step(_Weighted()), _plainly, 1, between=lambda: None)
    for a, e in zip(actual, expected, strict=True):
        assert_same_bits(a, e)


@pytest.fixture
def _nothing_compiled_before() -> None:
    torch._dynamo.reset()


@pytest.mark.usefixtures("_nothing_compiled_before")
@pytest.mark.parametrize("backend", ["aot_eager", "inductor"])
def test_compiled_network_takes_any_number_of_rows(backend: str) -> None:
    net, counter = accept_step(Net()), torch._dynamo.testing.CompileCounterWithBackend(backend)
    compiled = torch.compile(net, backend=counter, fullgraph=True)
    for rows in (4, 7, 3, 64, 9):
        x, steps = normal(rows, 9), torch.arange(rows) * 3 - 7
        assert_same_bits(array(compiled(x, step=steps)), expected_of(x, steps))
    assert counter.frame_count <= 2
    for step in range(5):
        assert_same_bits(array(compiled(x, step=step)), expected_of(x, step))
    assert counter.frame_count <= 4
    plain = Net()
    for _ in range(2):
        assert_same_bits(array(compiled(x)), array(plain(x)))


@pytest.mark.usefixtures("_nothing_compiled_before")
def test_compiled_modules_in_a_network_that_is_not() -> None:
    net = accept_step(Net())
    net.shared.compile(backend="aot_eager", fullgraph=True)
    for rows in (4, 7, 3, 64, 9):
        x, steps = normal(rows, 9), torch.arange(rows) * 3 - 7
        assert_same_bits(array(net(x, step=steps)), expected_of(x, steps))


def _with_compiled_modules(net: _Weighted, backend: str) -> _Weighted:
    for module in (net.net.shared, net.net.block[1]):
        module.compile(backend=backend, fullgraph=True)
    return net


@pytest.mark.usefixtures("_nothing_compiled_before")
@pytest.mark.parametrize("backend", ["aot_eager", "inductor"])
@pytest.mark.parametrize("given", [True, False], ids=["given", "counted"])
@both_checkpoints
def test_compiled_modules_never_take_the_steps_around_their_backward(
    use_reentrant: bool, given: bool, backend: str
) -> None:
    net = _with_compiled_modules(_Weighted(use_reentrant=use_reentrant), backend)
    x = normal(5, 7).requires_grad_()
    y = _plainly(accept_step(net), x, torch.arange(5)) if given else net(x)
    with pytest.raises(ort_rrelu.Error, match="inside of another forward that was given step="):
        accept_step(_Backward())(y.sum(), step=torch.arange(5) + 100)


@pytest.mark.usefixtures("_nothing_compiled_before")
@both_checkpoints
def test_checkpoint_around_a_network_with_compiled_modules(use_reentrant: bool) -> None:
    def around(net: nn.Module, x: Tensor, step: Tensor) -> Tensor:
        y: Tensor = checkpoint(lambda t: net(t, step=step), x, use_reentrant=use_reentrant)
        return y

    _check_gradients(_with_compiled_modules(accept_step(_Weighted()), "aot_eager"), around)


@pytest.mark.usefixtures("_nothing_compiled_before")
@pytest.mark.parametrize("backend", ["aot_eager", "inductor"])
def test_compiled_checkpoint_inside_of_another_forward(backend: str) -> None:
    """Its recomputation is compiled too, and has the steps of its forward."""
    net = accept_step(_Weighted(use_reentrant=False))
    compiled: Any = torch.compile(net, backend=backend)
    actual = _gradients_inside(compiled, accept_step(_Backward()))
    expected = _gradients(accept_step(_Weighted()), _plainly, 1, between=lambda: None)
    for a, e in zip(actual, expected, strict=True):
        torch.testing.assert_close(a, e)


@pytest.mark.usefixtures("_nothing_compiled_before")
def test_compiled_checkpoint_has_the_gradients_of_none() -> None:
    net = accept_step(_Weighted(use_reentrant=False))
    compiled: Any = torch.compile(net, backend="aot_eager")
    expected, actual = (
        _gradients(each, _plainly, 2, between=lambda: None) for each in (accept_step(_Weighted()), compiled)
    )
    for a, e in zip(actual, expected, strict=True):
        torch.testing.assert_close(a, e)
