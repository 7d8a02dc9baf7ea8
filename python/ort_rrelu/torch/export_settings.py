"""What an export of a torch model is asked for, kept for each thread, and the bounds of its RReLU modules."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import onnx
import torch

from ort_rrelu.arguments import StepInput, check_step_input, check_switch
from ort_rrelu.exporting import finished
from ort_rrelu.graph.edit import remove_unused_outputs
from ort_rrelu.node_attributes import NodeAttributes
from ort_rrelu.torch.module import bounds_of


@dataclass(frozen=True)
class Settings:
    """Arguments of `patch_onnx_export`.

    take: gets the model, with the weights and inputs that torch was asked for, instead of the caller's file;
        the rest is then up to it.

    Raises InvalidTypeError or InvalidValueError where an argument is not allowed.
    """

    seed: int | None = None
    training: bool | None = None
    step_input: StepInput = False
    portable: bool = True
    take: Callable[[onnx.ModelProto], None] | None = None

    def __post_init__(self) -> None:
        self.attributes()
        check_step_input(self.step_input)
        check_switch("portable", self.portable)

    def attributes(self) -> NodeAttributes:
        """Those of one export, which numbers its train nodes."""
        return NodeAttributes(self.seed, self.training)

    def finished(self, model: onnx.ModelProto, opset_version: int | None) -> onnx.ModelProto:
        """The model that an exporter has made, with what was set; it may be changed in place."""
        remove_unused_outputs(model)
        return finished(
            model, step_input=self.step_input, portable=self.portable, opset_version=opset_version
        )


# torch's exporters keep their state for the whole process.
one_at_a_time = threading.RLock()

# Of this thread or task alone: what another one exports meanwhile is none of our business.
_current: ContextVar[Settings | None] = ContextVar("ort_rrelu_export_settings", default=None)


def current_settings() -> Settings | None:
    """None where exports stay as torch writes them."""
    return _current.get()


@contextmanager
def set_for_this_context(settings: Settings | None) -> Iterator[None]:
    """In the block, in this thread or task."""
    token = _current.set(settings)
    try:
        yield
    finally:
        _current.reset(token)


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
    numbers = [
        (module, dict(zip(_BOUNDS, bounds_of(name, module), strict=True)))
        for name, module in rrelu_modules(model)
    ]
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
