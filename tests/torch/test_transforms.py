"""Differentiation beyond backward, and functionalize: torch.func and forward mode, eager and compiled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.autograd import forward_ad, functional
from torch.func import functionalize, grad, jacfwd, jacrev, jvp

import ort_rrelu
from ort_rrelu import reference
from ort_rrelu.torch import RReLU
from tests.bits import assert_same_bits
from tests.torch.arrays import TORCH_DTYPES, array, normal

_X = normal(3, 5).double()
_ONES = torch.ones_like(_X)

Function = Callable[[Tensor], Tensor]


def _forward_mode(f: Function) -> Tensor:
    with forward_ad.dual_level():
        y = f(forward_ad.make_dual(_X, _ONES))  # type: ignore[no-untyped-call]
        tangent: Tensor = forward_ad.unpack_dual(y).tangent  # type: ignore[no-untyped-call]
    return tangent


def _batched(f: Function, strategy: str) -> Tensor:
    jacobian: Tensor = functional.jacobian(f, _X, strategy=strategy, vectorize=True)  # type: ignore[no-untyped-call]
    return _rows(jacobian)


def _rows(jacobian: Any) -> Tensor:
    rows: Tensor = jacobian.sum((2, 3))
    return rows


_DERIVATIVES: dict[str, Callable[[Function], Any]] = {
    "func.jvp": lambda f: jvp(f, (_X,), (_ONES,))[1],
    "func.grad": lambda f: grad(lambda x: f(x).sum())(_X),
    "func.grad of jvp": lambda f: grad(lambda v: jvp(f, (_X,), (v,))[1].sum())(_ONES),
    "func.jacrev": lambda f: _rows(jacrev(f)(_X)),
    "func.jacfwd": lambda f: _rows(jacfwd(f, randomness="same")(_X)),
    "functionalize": lambda f: grad(lambda x: functionalize(f)(x).sum())(_X),
    "forward mode": _forward_mode,
    "batched forward mode": lambda f: _batched(f, "forward-mode"),
    "batched reverse mode": lambda f: _batched(f, "reverse-mode"),
    "compiled jvp": lambda f: torch.compile(lambda x: jvp(f, (x,), (_ONES,))[1], backend="aot_eager")(_X),
    "compiled grad": lambda f: torch.compile(grad(lambda x: f(x).sum()), backend="aot_eager")(_X),
    "forward mode of compiled": lambda f: _forward_mode(torch.compile(f, backend="aot_eager")),
}
every_seed = pytest.mark.parametrize("seed", [None, 3], ids=["unseeded", "seeded"])
both_modes = pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])


@pytest.fixture(autouse=True)
def _nothing_compiled_before() -> None:
    torch._dynamo.reset()


@every_seed
@both_modes
@pytest.mark.parametrize("derivative", _DERIVATIVES)
def test_derivative_is_the_noise(derivative: str, training: bool, seed: int | None) -> None:
    module = RReLU(seed=seed).train(training)
    torch.manual_seed(0)
    y = module(_X)
    torch.manual_seed(0)
    module.reset_parameters()
    torch.testing.assert_close(_DERIVATIVES[derivative](module), y / _X)


_VALUES: dict[str, Callable[[Function, Tensor], Tensor]] = {
    "func.grad": lambda f, x: grad(lambda t: (f(t).sum(), f(t)), has_aux=True)(x)[1],
    "func.jvp": lambda f, x: jvp(f, (x,), (torch.ones_like(x),))[0],
    "functionalize": lambda f, x: functionalize(f)(x),
    "vmap": lambda f, x: torch.vmap(f)(x),
}


@pytest.mark.parametrize("value", _VALUES)
@pytest.mark.parametrize("dtype", TORCH_DTYPES.values(), ids=str)
@pytest.mark.parametrize("bounds", [(1 / 8, 1 / 3), (-0.3, 2.0)], ids=str)
def test_eval_mode_has_the_same_bits_everywhere(
    bounds: tuple[float, float], dtype: torch.dtype, value: str
) -> None:
    module, x = RReLU(*bounds).eval(), normal(7, 9, dtype=dtype)
    assert_same_bits(array(_VALUES[value](module, x)), array(module(x)))


@both_modes
def test_arguments_are_checked_there_too(training: bool) -> None:
    with pytest.raises(ort_rrelu.Error, match=r"torch\.int64"):
        torch.vmap(RReLU().train(training), randomness="same")(torch.ones(3, 2, dtype=torch.int64))
    with pytest.raises(ort_rrelu.Error, match="upper=100000"):
        torch.vmap(RReLU(0, 1e5).train(training), randomness="same")(normal(3, 2, dtype=torch.float16))


@pytest.mark.parametrize("remove", ["mutations", "mutations_and_views"])
@pytest.mark.parametrize("inplace", [True, False])
def test_functionalize_counts(inplace: bool, remove: str) -> None:
    module, x = RReLU(seed=3, inplace=inplace), normal(4, 5)
    function = functionalize(lambda t: module(t * 1), remove=remove)
    for step in range(3):
        expected = reference.rrelu(array(x), training=True, seed=3, step=step)
        assert_same_bits(array(function(x)), expected)


def test_functionalize_counts_in_a_given_counter() -> None:
    module, x = RReLU(seed=3), normal(4, 5)

    def call(counter: Tensor, t: Tensor) -> Tensor:
        y: Tensor = torch.func.functional_call(module, {"step": counter}, (t,))
        return y

    counter = torch.tensor(7)
    for step in (7, 8):
        y = functionalize(call)(counter, x)
        assert_same_bits(array(y), reference.rrelu(array(x), training=True, seed=3, step=step))
    assert (int(counter), int(module.step or 0)) == (9, 0)


@every_seed
def test_second_derivative_is_zero(seed: int | None) -> None:
    module = RReLU(seed=seed)
    second = jacfwd(jacrev(lambda x: module(x).sum()), randomness="same")(_X)
    assert second.count_nonzero() == 0


@every_seed
def test_compiled_vmap_draws_as_the_eager_one(seed: int | None) -> None:
    module, x = RReLU(seed=seed), -torch.ones(4, 20)
    compiled = torch.compile(torch.vmap(module, randomness="different"), backend="aot_eager")
    for step in range(2):
        y = compiled(x)
        assert len({tuple(row) for row in y.tolist()}) == 4
        if seed is not None:
            assert_same_bits(array(y), reference.rrelu(array(x), training=True, seed=3, step=step))


@both_modes
@pytest.mark.parametrize("place", [..., slice(1, None)], ids=["whole", "at an offset"])
def test_lazy_clones_stay_lazy(place: Any, training: bool) -> None:
    is_lazy = torch._C._is_cow_tensor  # type: ignore[attr-defined]
    original, dy = normal(4, 5), normal(4, 5)[place]
    x = torch._lazy_clone(original)[place].requires_grad_()
    lazy_dy = torch._lazy_clone(dy)
    y = RReLU(seed=3).train(training)(x)
    y.backward(lazy_dy)
    assert is_lazy(x)
    assert is_lazy(lazy_dy)
    expected, noise = reference.rrelu(array(original[place]), training=training, seed=3, return_noise=True)
    assert_same_bits(array(y), expected)
    assert x.grad is not None
    assert_same_bits(array(x.grad), reference.rrelu_grad(array(dy), noise))
