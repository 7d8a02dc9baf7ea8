"""RReLU where torch runs a forward again or compiles it: torch.utils.checkpoint and torch.compile."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch._dynamo.testing
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

import ort_rrelu
from ort_rrelu import reference
from ort_rrelu.torch import RReLU
from tests.bits import assert_same_bits
from tests.onnx_models import Array
from tests.torch.arrays import array, normal

every_seed = pytest.mark.parametrize("seed", [None, 5], ids=["unseeded", "seeded"])
both_checkpoints = pytest.mark.parametrize("use_reentrant", [True, False], ids=["reentrant", "non-reentrant"])

Call = Callable[[nn.Module, Tensor], Tensor]


@pytest.fixture(autouse=True)
def _nothing_compiled_before() -> None:
    torch._dynamo.reset()


def _network(seed: int | None) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(16, 16), RReLU(seed=seed), nn.Linear(16, 16), RReLU(seed=seed))


def _gradients(network: nn.Module, call: Call, forwards: int) -> list[Array]:
    """Of the network's weights and inputs, after one backward through several forwards."""
    inputs = [normal(4, 16).roll(i).requires_grad_() for i in range(forwards)]
    torch.manual_seed(1)
    outputs = [call(network, x).sin().sum() for x in inputs]
    torch.autograd.backward(outputs)
    gradients = [leaf.grad for leaf in (*network.parameters(), *inputs)]
    return [array(gradient) for gradient in gradients if gradient is not None]


def _plainly(network: nn.Module, x: Tensor) -> Tensor:
    y: Tensor = network(x)
    return y


def _checkpointed(**kw: Any) -> Call:
    def call(network: nn.Module, x: Tensor) -> Tensor:
        y: Tensor = checkpoint(network, x, **kw)
        return y

    return call


@every_seed
@both_checkpoints
@pytest.mark.parametrize("forwards", [1, 3])
def test_checkpoint_changes_no_gradient(seed: int | None, use_reentrant: bool, forwards: int) -> None:
    expected = _gradients(_network(seed), _plainly, forwards)
    actual = _gradients(_network(seed), _checkpointed(use_reentrant=use_reentrant), forwards)
    for a, e in zip(actual, expected, strict=True):
        assert_same_bits(a, e)


@both_checkpoints
def test_nested_checkpoints_change_no_gradient(use_reentrant: bool) -> None:
    once = _checkpointed(use_reentrant=use_reentrant)

    def nested(network: nn.Module, x: Tensor) -> Tensor:
        y: Tensor = checkpoint(lambda t: once(network, t), x, use_reentrant=use_reentrant)
        return y

    expected, actual = (_gradients(_network(5), call, 2) for call in (_plainly, nested))
    for a, e in zip(actual, expected, strict=True):
        assert_same_bits(a, e)


@both_checkpoints
def test_recomputation_is_not_counted(use_reentrant: bool) -> None:
    module = RReLU(seed=5)
    x = normal(4, 16)
    for step in range(3):
        y = checkpoint(module, x.clone().requires_grad_(), use_reentrant=use_reentrant)
        assert_same_bits(array(y), reference.rrelu(array(x), training=True, seed=5, step=step))
        y.sum().backward()


@both_checkpoints
def test_counted_module_needs_the_random_state_of_its_checkpoint(use_reentrant: bool) -> None:
    call = _checkpointed(use_reentrant=use_reentrant, preserve_rng_state=False)
    with pytest.raises(ort_rrelu.Error, match="preserve_rng_state=True, or pass step= to the module"):
        _gradients(_network(5), call, 1)


@both_checkpoints
def test_forwards_with_the_same_random_numbers_cannot_be_told_apart(use_reentrant: bool) -> None:
    once = _checkpointed(use_reentrant=use_reentrant)

    def reseeded(network: nn.Module, x: Tensor) -> Tensor:
        torch.manual_seed(1)
        return once(network, x)

    with pytest.raises(ort_rrelu.Error, match="random numbers of one forward"):
        _gradients(_network(5), reseeded, 2)


@both_checkpoints
def test_reseeding_before_each_training_step_is_fine(use_reentrant: bool) -> None:
    plain, checkpointed = _network(5), _network(5)
    for _ in range(3):  # _gradients seeds torch's generator anew
        expected = _gradients(plain, _plainly, 1)
        actual = _gradients(checkpointed, _checkpointed(use_reentrant=use_reentrant), 1)
        for a, e in zip(actual, expected, strict=True):
            assert_same_bits(a, e)


@both_checkpoints
def test_named_step_needs_no_random_state(use_reentrant: bool) -> None:
    class AtStep8(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rrelu = RReLU(seed=5)

        def forward(self, x: Tensor) -> Tensor:
            y: Tensor = self.rrelu(x * 2, step=8)
            return y

    call = _checkpointed(use_reentrant=use_reentrant, preserve_rng_state=False)
    expected, actual = (_gradients(AtStep8(), c, 2) for c in (_plainly, call))
    for a, e in zip(actual, expected, strict=True):
        assert_same_bits(a, e)


@every_seed
def test_hundred_calls_compile_at_most_twice(seed: int | None) -> None:
    counter = torch._dynamo.testing.CompileCounter()
    compiled = torch.compile(RReLU(seed=seed), backend=counter)
    drawn = {compiled(-torch.ones(64)).sum().item() for _ in range(100)}
    assert 1 <= counter.frame_count <= 2
    assert len(drawn) > 90  # and they draw anew: sums of 64 slopes collide rarely


def test_hundred_named_steps_compile_at_most_twice() -> None:
    counter = torch._dynamo.testing.CompileCounter()
    compiled = torch.compile(RReLU(seed=5), backend=counter)
    x = normal(64)
    for step in range(100):
        y = compiled(x, step=torch.tensor(step))
        assert_same_bits(array(y), reference.rrelu(array(x), training=True, seed=5, step=step))
    assert 1 <= counter.frame_count <= 2


@pytest.mark.parametrize("inplace", [False, True])
@pytest.mark.parametrize("backend", ["aot_eager", "inductor"])
def test_compiled_module_draws_and_differentiates_as_the_reference(backend: str, inplace: bool) -> None:
    module = nn.Sequential(nn.Identity(), RReLU(inplace=inplace, seed=5))
    compiled = torch.compile(lambda t: module(t * 2), backend=backend, fullgraph=True)
    dy = normal(3, 7) + 3
    for step in range(3):
        x = normal(3, 7).requires_grad_()
        y = compiled(x)
        torch.autograd.backward(y, dy)
        drawn, noise = reference.rrelu(array(x * 2), training=True, seed=5, step=step, return_noise=True)
        assert_same_bits(array(y), drawn)
        assert x.grad is not None
        assert_same_bits(array(x.grad), reference.rrelu_grad(array(dy), noise) * 2)


def _compiled_checkpoint(module: nn.Module) -> Callable[[Tensor], Tensor]:
    def forward(x: Tensor) -> Tensor:
        y: Tensor = checkpoint(lambda t: module(t * 2).sin(), x, use_reentrant=False)
        return y

    return torch.compile(forward, backend="aot_eager")


def test_compiled_checkpoint_of_an_unseeded_module_recomputes_its_slopes() -> None:
    x = -normal(64).abs()
    x[x < -0.5] = -0.5  # where the sine of a slope times 2 x can be inverted
    x.requires_grad_()
    y = _compiled_checkpoint(RReLU())(x)
    torch.autograd.backward(y.sum())
    leaked = y.detach().double().asin()
    slope = leaked / (2 * x.detach().double())
    torch.testing.assert_close(x.grad, (leaked.cos() * slope * 2).float(), rtol=1e-4, atol=1e-6)


def test_compiled_checkpoint_of_a_counted_module_is_refused() -> None:
    with pytest.raises(ort_rrelu.Error, match="pass step= to the module"):
        torch.autograd.backward(_compiled_checkpoint(RReLU(seed=5))(normal(64).requires_grad_()).sum())
