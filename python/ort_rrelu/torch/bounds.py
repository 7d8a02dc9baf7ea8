"""The RReLU modules of a torch model, their bounds checked before an export and given to it as numbers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from ort_rrelu.errors import InvalidTypeError, InvalidValueError
from ort_rrelu.node_attributes import check_bounds

__all__ = ["bounds_as_numbers", "rrelu_modules"]

_BOUNDS = ("lower", "upper")


def rrelu_modules(model: Any) -> list[tuple[str, torch.nn.RReLU]]:
    """Names and modules; none where the model is no module, or a scripted one."""
    if not isinstance(model, torch.nn.Module):
        return []
    return [(name, module) for name, module in model.named_modules() if isinstance(module, torch.nn.RReLU)]


@contextmanager
def bounds_as_numbers(model: Any) -> Iterator[None]:
    """In the block the bounds of the model's RReLU modules are Python numbers.

    A tensor of one element, which torch takes as well, would be a value of the graph there, not an attribute.

    Raises InvalidValueError or InvalidTypeError that names the module: torch refuses some bounds by itself,
    and buries what it says under advice on exporting.
    """
    numbers = [(module, _checked(name, module)) for name, module in rrelu_modules(model)]
    changed: list[tuple[torch.nn.RReLU, dict[str, Any]]] = []
    try:
        for module, bounds in numbers:
            if all(getattr(module, name) is number for name, number in bounds.items()):
                continue
            # In __dict__, which hides a Parameter of the name, and takes what was there back.
            changed.append((module, {name: module.__dict__.get(name) for name in _BOUNDS}))
            module.__dict__.update(bounds)
        yield
    finally:
        for module, before in changed:
            for name, value in before.items():
                if value is None:
                    del module.__dict__[name]
                else:
                    module.__dict__[name] = value


def _checked(name: str, module: torch.nn.RReLU) -> dict[str, float]:
    try:
        return dict(zip(_BOUNDS, check_bounds(module.lower, module.upper), strict=True))
    except (InvalidValueError, InvalidTypeError) as error:
        raise type(error)(f"RReLU module {name!r}: {error}") from error
