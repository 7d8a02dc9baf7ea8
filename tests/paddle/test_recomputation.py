"""RReLU where Paddle runs a forward again: paddle.distributed.fleet.utils.recompute."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import paddle
import pytest
from paddle import Tensor, nn
from paddle.distributed.fleet.utils import recompute

from ort_rrelu import reference
from ort_rrelu.paddle import RReLU
from tests.bits import assert_same_bits
from tests.onnx_models import Array
from tests.paddle.paddle_layers import array, normal

every_seed = pytest.mark.parametrize("seed", [None, 5], ids=["unseeded", "seeded"])
both_kinds = pytest.mark.parametrize("use_reentrant", [True, False], ids=["reentrant", "non-reentrant"])

Call = Callable[[nn.Layer, Tensor], Tensor]


def _network(seed: int | None) -> nn.Sequential:
    paddle.seed(0)
    return nn.Sequential(nn.Linear(16, 16), RReLU(seed=seed), nn.Linear(16, 16), RReLU(seed=seed))


def _gradients(network: nn.Layer, call: Call, forwards: int) -> list[Array]:
    """Of the network's weights and inputs, after one backward through several forwards."""
    inputs = [normal(4, 16).roll(i) for i in range(forwards)]
    for x in inputs:
        x.stop_gradient = False
    paddle.seed(1)
    outputs = [call(network, x).sin().sum() for x in inputs]
    paddle.autograd.backward(outputs)
    gradients = [leaf.grad for leaf in (*network.parameters(), *inputs)]
    return [array(gradient) for gradient in gradients if gradient is not None]


def _plainly(network: nn.Layer, x: Tensor) -> Tensor:
    y: Tensor = network(x)
    return y


def _recomputed(**kw: Any) -> Call:
    def call(network: nn.Layer, x: Tensor) -> Tensor:
        y: Tensor = recompute(network, x, **kw)
        return y

    return call


def _assert_equal(actual: list[Array], expected: list[Array]) -> None:
    for a, e in zip(actual, expected, strict=True):
        assert_same_bits(a, e)


@every_seed
@both_kinds
@pytest.mark.parametrize("forwards", [1, 3])
def test_recompute_changes_no_gradient(seed: int | None, use_reentrant: bool, forwards: int) -> None:
    expected = _gradients(_network(seed), _plainly, forwards)
    _assert_equal(_gradients(_network(seed), _recomputed(use_reentrant=use_reentrant), forwards), expected)


@both_kinds
def test_recomputation_is_not_counted(use_reentrant: bool) -> None:
    layer = RReLU(seed=5)
    x = normal(4, 16)
    for step in range(3):
        leaf = x.clone().detach()
        leaf.stop_gradient = False
        y = recompute(layer, leaf, use_reentrant=use_reentrant)
        assert_same_bits(array(y), reference.rrelu(array(x), training=True, seed=5, step=step))
        y.sum().backward()


# Paddle turns every exception inside a backward pass into one of its own; the message is in it.
@both_kinds
@pytest.mark.parametrize(
    ("seed", "instead"), [(5, "pass step="), (None, "give the module a seed and step=")], ids=str
)
def test_recomputation_needs_the_random_state(seed: int | None, instead: str, use_reentrant: bool) -> None:
    call = _recomputed(use_reentrant=use_reentrant, preserve_rng_state=False)
    with pytest.raises(Exception, match=rf"recompute's preserve_rng_state=True, or {instead}"):
        _gradients(_network(seed), call, 1)


def test_a_layer_that_is_gone_leaves_no_steps_to_another_in_its_place() -> None:
    for _ in range(20):  # until a counter lies where one was that had taken three steps
        _gradients(_network(5), _recomputed(use_reentrant=True), 3)
        call = _recomputed(use_reentrant=True, preserve_rng_state=False)
        with pytest.raises(Exception, match="pass step="):
            _gradients(_network(5), call, 1)


@both_kinds
def test_forwards_with_the_same_random_numbers_cannot_be_told_apart(use_reentrant: bool) -> None:
    once = _recomputed(use_reentrant=use_reentrant)

    def reseeded(network: nn.Layer, x: Tensor) -> Tensor:
        paddle.seed(1)
        return once(network, x)

    with pytest.raises(Exception, match="random numbers of one forward"):
        _gradients(_network(5), reseeded, 2)


@both_kinds
def test_reseeding_before_each_training_step_is_fine(use_reentrant: bool) -> None:
    plain, recomputed = _network(5), _network(5)
    for _ in range(3):  # _gradients seeds Paddle's generator anew
        expected = _gradients(plain, _plainly, 1)
        _assert_equal(_gradients(recomputed, _recomputed(use_reentrant=use_reentrant), 1), expected)


@both_kinds
def test_named_step_needs_no_random_state(use_reentrant: bool) -> None:
    class AtStep8(nn.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.rrelu = RReLU(seed=5)

        def forward(self, x: Tensor) -> Tensor:
            y: Tensor = self.rrelu(x * 2, step=8)
            return y

    call = _recomputed(use_reentrant=use_reentrant, preserve_rng_state=False)
    expected, actual = (_gradients(AtStep8(), c, 2) for c in (_plainly, call))
    _assert_equal(actual, expected)
