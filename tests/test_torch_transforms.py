"""Differentiation beyond backward: torch.func and forward mode, for which torch.nn.RReLU has rules."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.autograd import forward_ad

import ort_rrelu.torch
from tests.torch_arrays import normal

_X = normal(3, 5).double()
_ONES = torch.ones_like(_X)


def _forward_mode(f: Callable[[Tensor], Tensor]) -> Tensor:
    with forward_ad.dual_level():
        y = f(forward_ad.make_dual(_X, _ONES))  # type: ignore[no-untyped-call]
        tangent: Tensor = forward_ad.unpack_dual(y).tangent  # type: ignore[no-untyped-call]
    return tangent


_DERIVATIVES: dict[str, Callable[[Callable[[Tensor], Tensor]], Any]] = {
    "func.jvp": lambda f: torch.func.jvp(f, (_X,), (_ONES,))[1],
    "func.grad": lambda f: torch.func.grad(lambda x: f(x).sum())(_X),
    "func.jacrev": lambda f: torch.func.jacrev(f)(_X).sum((2, 3)),
    "forward mode": _forward_mode,
}


@pytest.mark.parametrize("seed", [None, 3])
@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize("derivative", _DERIVATIVES)
def test_derivative_is_the_noise(derivative: str, training: bool, seed: int | None) -> None:
    module = ort_rrelu.torch.RReLU(seed=seed).train(training)
    torch.manual_seed(0)
    y = module(_X)
    torch.manual_seed(0)
    module.reset_parameters()
    torch.testing.assert_close(_DERIVATIVES[derivative](module), y / _X)
