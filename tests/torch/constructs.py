"""The ways to write rrelu in torch, and torch itself drawing the contract's slopes.

What stands around an rrelu here multiplies by powers of two, so outputs can be compared to the last bit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812  # as everybody calls it
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

import ort_rrelu.torch
from ort_rrelu import reference
from tests.torch.arrays import array, tensor

_aten = torch.ops.aten
_BOUNDS = (0.25, 0.75)


class Applied(nn.Module):
    """A function of x and of the module's mode."""

    def __init__(self, function: Callable[[Tensor, bool], Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Any:
        return self.function(x, self.training)


class Twice(nn.Module):
    """One module at two places, one after the other."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.module(self.module(x) * 2)
        return y


class Parallel(nn.Module):
    """Several modules on one input: what an optimizer that merges equal nodes would make one of."""

    def __init__(self, *modules: nn.Module) -> None:
        super().__init__()
        self.branches = nn.ModuleList(modules)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        return tuple(branch(x) for branch in self.branches)


def _after_a_product(function: Callable[[Tensor, bool], Any]) -> Callable[[], nn.Module]:
    return lambda: Applied(lambda x, training: function(x * 2, training))


def _applied(function: Callable[[Tensor, bool], Any]) -> Callable[[], nn.Module]:
    return lambda: Applied(function)


def _with_noise(x: Tensor, training: bool) -> Tensor:
    y: Tensor = _aten.rrelu_with_noise(x, torch.empty_like(x), *_BOUNDS, training)
    return y


def _with_read_noise(x: Tensor, training: bool) -> tuple[Tensor, Tensor]:
    y, noise = _aten.rrelu_with_noise_functional(x, torch.ones_like(x), *_BOUNDS, training)
    return y, noise


def _nested() -> nn.Module:
    inner = nn.Sequential(nn.RReLU(), Twice(nn.RReLU(0.5, 0.6)))
    return nn.Sequential(inner, nn.Identity(), nn.Sequential(nn.Sequential(nn.RReLU(0.1, 0.2))))


CONSTRUCTS: dict[str, Callable[[], nn.Module]] = {
    "nn.RReLU": nn.RReLU,
    "nn.RReLU inplace": lambda: nn.Sequential(nn.RReLU(), nn.RReLU(*_BOUNDS, inplace=True)),
    "nn.RReLU negative bounds": lambda: nn.RReLU(-0.5, -0.25),
    "nn.RReLU bounds above 1": lambda: nn.RReLU(1.5, 4.0),
    "nn.RReLU equal bounds": lambda: nn.RReLU(0.25, 0.25),
    "F.rrelu": _applied(lambda x, training: F.rrelu(x, *_BOUNDS, training)),
    "F.rrelu inplace": _after_a_product(lambda x, training: F.rrelu(x, *_BOUNDS, training, inplace=True)),
    "F.rrelu_": _after_a_product(lambda x, training: F.rrelu_(x, *_BOUNDS, training)),
    "torch.rrelu": _applied(lambda x, training: torch.rrelu(x, *_BOUNDS, training)),
    "torch.rrelu_": _after_a_product(lambda x, training: torch.rrelu_(x, *_BOUNDS, training)),
    "rrelu_with_noise": _applied(_with_noise),
    "rrelu_with_noise_functional": _applied(_with_read_noise),
    "equal bounds, one input": lambda: Parallel(nn.RReLU(), nn.RReLU(), nn.RReLU()),
    "different bounds, one input": lambda: Parallel(nn.RReLU(), nn.RReLU(*_BOUNDS)),
    "one module, one input": lambda: Parallel(*[nn.RReLU()] * 2),
    "one module at several places": lambda: Twice(nn.RReLU()),
    "nested modules": _nested,
    "ort_rrelu.torch.RReLU": ort_rrelu.torch.RReLU,
    "ort_rrelu.torch.RReLU inplace": lambda: nn.Sequential(
        nn.RReLU(), ort_rrelu.torch.RReLU(*_BOUNDS, inplace=True)
    ),
    "ort_rrelu.torch.RReLU inplace, alone": lambda: ort_rrelu.torch.RReLU(*_BOUNDS, inplace=True),
    "ort_rrelu.torch.RReLU seeded": lambda: ort_rrelu.torch.RReLU(seed=3),
    "ours and torch's": lambda: Parallel(
        ort_rrelu.torch.RReLU(), nn.RReLU(), ort_rrelu.torch.RReLU(seed=3), ort_rrelu.torch.RReLU(seed=4)
    ),
}


class DrawsOfReference(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Inside this `with` block torch computes rrelu with the reference.

    The i-th train-mode call draws with the i-th of `seeds`; leaving the block checks that all were used.
    """

    def __init__(self, seeds: Iterable[int] = (), step: int = 0) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._seeds = list(seeds)
        self._step = step

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.ops.ort_rrelu.rrelu.default:
            return self._draw(*args[:4])
        if func.overloadpacket not in {
            _aten.rrelu_with_noise,
            _aten.rrelu_with_noise_,
            _aten.rrelu_with_noise_functional,
        }:
            return func(*args, **(kwargs or {}))
        x, noise, lower, upper, training = (*args, *(1 / 8, 1 / 3, False)[len(args) - 2 :])[:5]
        y, drawn = self._draw(x, lower, upper, training)
        if func.overloadpacket is _aten.rrelu_with_noise_functional:
            return y, drawn if training else noise
        return x.copy_(y) if func.overloadpacket is _aten.rrelu_with_noise_ else y

    def _draw(self, x: Tensor, lower: float, upper: float, training: bool) -> tuple[Tensor, Tensor]:
        seed = self._seeds.pop(0) if training else 0
        y, noise = reference.rrelu(
            array(x), lower, upper, training, seed=seed, step=self._step, return_noise=True
        )
        return tensor(y), tensor(noise)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        super().__exit__(kind, error, traceback)  # type: ignore[no-untyped-call]
        assert error is not None or not self._seeds, f"torch never drew with the seeds {self._seeds}"
