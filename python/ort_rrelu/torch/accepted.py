"""The steps of the forward that a thread runs: accept_step's hooks put them here, and RReLU looks."""

from __future__ import annotations

import sys
import threading
from types import FrameType

import torch
from torch import Tensor, nn

from ort_rrelu.errors import InvalidValueError
from ort_rrelu.torch import private


class Accepted:
    """The step of one forward of a root module, and how often it has called each of its modules."""

    def __init__(self, root: nn.Module, step: Tensor, outer: Accepted | None) -> None:
        self.root, self.step, self.outer = root, step, outer
        self.entries = 1  # a root may call itself
        self._calls: dict[nn.Module, int] = {}
        self._exporting = exporting()
        compiling = torch.compiler.is_compiling()
        self._backward = -1 if compiling else private.backward_pass()
        self._caller = None if compiling else sys._getframe(3)

    def serves(self) -> bool:
        """Is this call one of the forward's own: not traced inside of it, nor recomputed for another one?"""
        if self._exporting != exporting():
            return False
        return torch.compiler.is_compiling() or self._backward == private.backward_pass()

    @property
    def is_compiled(self) -> bool:
        """Did the forward begin in compiled code, which then holds all of it?"""
        return self._caller is None

    def is_running(self) -> bool:
        """Is the forward still on the stack? An interrupt leaves it without a call of its hooks."""
        if torch.compiler.is_compiling() or self._caller is None:
            return True
        frame: FrameType | None = sys._getframe(1)
        while frame is not None and frame is not self._caller:
            frame = frame.f_back
        return frame is not None

    def next_place(self, module: nn.Module) -> int:
        """The number of this call among the forward's calls of the module, from 0."""
        place = self._calls.get(module, 0)
        self._calls[module] = place + 1
        return place

    def step_of(self, module: nn.Module, x: Tensor) -> Tensor:
        """The step that `module` takes for x.

        Raises InvalidValueError, which names the module, where x has another number of rows than there are
        steps.
        """
        step = self.step
        if step.ndim and (not x.ndim or x.shape[0] != step.shape[0]):
            raise InvalidValueError(
                f"RReLU module {self.name_of(module)}: x has shape {list(x.shape)}, and step has shape "
                f"{list(step.shape)}, one for each row: they must have the same first dimension; give this "
                "module a step= of its own, or the network one number"
            )
        return step

    def name_of(self, module: nn.Module) -> str:
        """The module's name in the root, quoted; what it is where it has none there."""
        names = (name for name, each in self.root.named_modules() if each is module)
        return repr(next(names, str(module)))


class _Running:
    """What a thread runs. An object of its own, because compiled code loses what it writes to a local."""

    top: Accepted | None

    def __init__(self) -> None:
        self.top = None


class _Thread(threading.local):
    def __init__(self) -> None:
        self.running = _Running()


thread = _Thread()


def exporting() -> bool:
    """Is the call traced into a graph, which must hold the op alone, without the module's counter?"""
    tracing: bool = torch.jit.is_tracing()  # type: ignore[attr-defined, no-untyped-call]
    return tracing or torch.compiler.is_exporting() or torch.onnx.is_in_onnx_export()


def current() -> Accepted | None:
    """The innermost forward with steps that this call belongs to, if there is one."""
    top = thread.running.top
    if top is None:
        return None
    _drop_dead()
    top = thread.running.top
    return top if top is not None and top.serves() else None


def enter(root: nn.Module, step: Tensor) -> None:
    """A forward of `root` begins; called by its hook."""
    _drop_dead()
    thread.running.top = Accepted(root, step, thread.running.top)


def reenter(root: nn.Module) -> None:
    """A forward of `root` without a step begins: if inside of one with a step, that one's serves."""
    _drop_dead()
    top = thread.running.top
    if top is not None and top.root is root:
        top.entries += 1


def leave(root: nn.Module) -> None:
    """A forward of `root` ends, with or without an error."""
    top = thread.running.top
    if top is None or top.root is not root:
        return
    top.entries -= 1
    if not top.entries:
        thread.running.top = top.outer


def _drop_dead() -> None:
    while thread.running.top is not None and not thread.running.top.is_running():
        thread.running.top = thread.running.top.outer


def unseeded(name: str) -> InvalidValueError:
    """The error for a module in train mode that has no seed."""
    return InvalidValueError(
        f"RReLU module {name} has no seed, so it cannot draw with step=: use "
        "ort_rrelu.torch.RReLU(seed=...), or ort_rrelu.torch.replace_rrelu(net, seed=...), or eval()"
    )
