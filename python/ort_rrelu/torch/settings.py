"""What exports of torch models write, as the running thread or task has set it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

import onnx

from ort_rrelu.arguments import check_switch
from ort_rrelu.exporting import finished
from ort_rrelu.graph.unused_outputs import remove_unused_outputs
from ort_rrelu.node_attributes import NodeAttributes

__all__ = ["Settings", "current_settings", "one_at_a_time", "set_for_this_context"]


@dataclass(frozen=True)
class Settings:
    """Arguments of `patch_onnx_export`.

    take: gets the model, with the weights and inputs that torch was asked for, instead of the caller's file;
        the rest is then up to it.

    Raises InvalidTypeError or InvalidValueError where an argument is not allowed.
    """

    seed: int | None = None
    training: bool | None = None
    step_input: bool = False
    portable: bool = True
    take: Callable[[onnx.ModelProto], None] | None = None

    def __post_init__(self) -> None:
        self.attributes()
        check_switch("step_input", self.step_input)
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
    """None where exports shall be torch's own."""
    return _current.get()


@contextmanager
def set_for_this_context(settings: Settings | None) -> Iterator[None]:
    """In the block, in this thread or task."""
    token = _current.set(settings)
    try:
        yield
    finally:
        _current.reset(token)
