"""Networks as other people write them, with torch's RReLU in all its ways."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812  # as everybody does
from torch import Tensor, nn
from torch.nn.functional import rrelu as imported_rrelu


class Block(nn.Module):
    def __init__(self, activation: nn.Module | None = None) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 4)
        self.activation = nn.RReLU(0.1, 0.2) if activation is None else activation

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.activation(self.linear(x))
        return y


class Outside(nn.Module):
    """Holds its activation in a list that torch knows nothing of, too."""

    def __init__(self) -> None:
        super().__init__()
        self.activations = nn.ModuleList(nn.RReLU() for _ in range(2))
        self.used = list(self.activations)

    def forward(self, x: Tensor) -> Tensor:
        for activation in self.used:
            x = activation(x)
        return x


class Rrelu(Block):
    """Names that look like it, and are not."""

    def __init__(self) -> None:
        super().__init__(nn.Tanh())
        self.rrelu = nn.Tanh()

    def forward(self, x: Tensor) -> Tensor:
        rrelu = self.rrelu
        y: Tensor = rrelu(self.rrelu(x)) + F.relu(x)
        return y


def _shared() -> nn.Module:
    activation = nn.RReLU()
    return nn.ModuleDict({"a": Block(activation), "b": nn.Sequential(activation, nn.Tanh(), activation)})


def _parametrized() -> nn.Module:
    block = Block()
    torch.nn.utils.parametrizations.weight_norm(block.linear)
    return block


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "root": nn.RReLU,
    "nested": lambda: nn.Sequential(Block(), nn.Sequential(Block(), nn.ModuleList([nn.RReLU()]))),
    "shared": _shared,
    "repeated": lambda: nn.Sequential(*[nn.RReLU()] * 3),
    "in a list": Outside,
    "parametrized": _parametrized,
    "data parallel": lambda: nn.DataParallel(Block()),
    "traced by fx": lambda: torch.fx.symbolic_trace(Block()),
    "names alone": Rrelu,
}


class _Called(nn.Module):
    def __init__(self, **attributes: Any) -> None:
        super().__init__()
        for name, value in attributes.items():
            setattr(self, name, value)


class _Functional(_Called):
    def forward(self, x: Tensor) -> Tensor:
        return F.rrelu(x, training=self.training)


class _Full(_Called):
    def forward(self, x: Tensor) -> Tensor:
        return torch.nn.functional.rrelu_(x)


class _Imported(_Called):
    def forward(self, x: Tensor) -> Tensor:
        return self.helper(x)

    @staticmethod
    def helper(x: Tensor) -> Tensor:
        return imported_rrelu(x)


class _ImportedInside(_Called):
    def forward(self, x: Tensor) -> Tensor:
        from torch.nn import functional

        return torch.stack([functional.rrelu(y) for y in x])


class _RenamedInside(_Called):
    def forward(self, x: Tensor) -> Tensor:
        import torch.nn.functional as g

        activate = g.rrelu
        return activate(x)


class _WholePathInside(_Called):
    def forward(self, x: Tensor) -> Tensor:
        import torch.nn.functional

        return torch.nn.functional.rrelu(x)


def _activate(x: Tensor) -> Tensor:
    return torch.rrelu(x)


class _Helped(_Called):
    def forward(self, x: Tensor) -> Tensor:
        return _activate(x)


class _Inherited(_Helped):
    pass


class _Derived(nn.RReLU):
    pass


def _exchanged() -> nn.RReLU:
    module = nn.RReLU()
    module.forward = lambda x: x  # type: ignore[method-assign, assignment]
    return module


def _traced(module: nn.Module) -> nn.Module:
    traced: nn.Module = torch.jit.trace(module, torch.ones(2, 4))  # type: ignore[no-untyped-call]
    return traced


# What keeps torch's rrelu -> what a warning says of it.
CALLS: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "F.rrelu": (_Functional, r"_Functional\.forward"),
    "whole path": (_Full, r"_Full\.forward"),
    "imported": (_Imported, r"_Imported\.helper"),
    "imported inside": (_ImportedInside, r"_ImportedInside\.forward"),
    "renamed inside": (_RenamedInside, r"_RenamedInside\.forward"),
    "whole path inside": (_WholePathInside, r"_WholePathInside\.forward"),
    "in a helper": (_Helped, r"_Helped\.forward"),
    "inherited": (_Inherited, r"_Helped\.forward"),
    "attribute": (lambda: _Called(act=F.rrelu), r"'0' \(attribute act\)"),
    "partial": (lambda: _Called(act=functools.partial(F.rrelu, lower=0.1)), r"'0' \(attribute act\)"),
    "in a dictionary": (lambda: _Called(acts={"rrelu": F.rrelu}), r"'0' \(attribute acts\)"),
    "lambda": (lambda: _Called(act=lambda x: F.rrelu(x)), r"'0' \(attribute act\)"),
    "layer of torch": (
        lambda: nn.TransformerEncoderLayer(4, 2, activation=F.rrelu),
        r"'0' \(attribute activation\)",
    ),
    "fx": (lambda: torch.fx.symbolic_trace(_Functional()), r"'0' \(node rrelu\)"),
    "scripted": (lambda: torch.jit.script(Block()), r"'0' \(scripted\)"),
    "traced": (lambda: _traced(Block().eval()), r"'0' \(scripted\)"),
    "class": (_Derived, r"'0' \(class _Derived\)"),
    "forward": (_exchanged, r"'0' \(its own forward\)"),
}
