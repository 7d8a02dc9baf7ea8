"""patch_onnx_export: other people's calls of torch.onnx.export write RRelu nodes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

from torch.onnx._internal.exporter import _compat, _core, _dispatching
from torch.onnx._internal.torchscript_exporter import utils

from ort_rrelu.torch import default_exporter, torchscript
from ort_rrelu.torch.export_settings import Settings, set_for_this_context

# What every call looks up when it runs: replacing torch.onnx.export would miss those who imported it before.
_PLACES: tuple[tuple[Any, str, Callable[[Callable[..., Any]], Callable[..., Any]]], ...] = (
    (_compat, "export_compat", default_exporter.exporting),
    (_dispatching, "dispatch", default_exporter.dispatching),
    (_core.onnxscript_apis, "convert_version", default_exporter.converting),  # type: ignore[attr-defined]
    (utils, "_export", torchscript.exporting),
)


class _Patches:
    """torch's functions replaced while any block is open, in whatever thread, and then put back."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open = 0
        self._stack = ExitStack()

    @contextmanager
    def applied(self) -> Iterator[None]:
        with self._lock:
            if self._open == 0:
                self._apply()
            self._open += 1
        try:
            yield
        finally:
            with self._lock:
                self._open -= 1
                if self._open == 0:
                    self._stack.close()

    def _apply(self) -> None:
        with ExitStack() as stack:
            for home, name, replacing in _PLACES:
                stack.enter_context(mock.patch.object(home, name, replacing(getattr(home, name))))
            self._stack = stack.pop_all()


_patches = _Patches()


@contextmanager
def patched(settings: Settings | None) -> Iterator[None]:
    """In the block, in this thread or task, every export goes by `settings`; None: it is torch's own."""
    with _patches.applied(), set_for_this_context(settings):
        yield


@contextmanager
def patch_onnx_export(
    seed: int | None = None,
    *,
    training: bool | None = None,
    step_input: bool = False,
    portable: bool = True,
) -> Iterator[None]:
    """In a `with` block every call of torch.onnx.export writes RRelu nodes: for calls in other people's code.

    With either exporter, by whatever name, to a file, an io.BytesIO or the ONNXProgram that is returned. It
    holds for the thread (or asyncio task) of the block; others export as ever. Afterwards torch is as it
    was. Blocks nest: the innermost holds. `ort_rrelu.torch.export` goes by its own arguments.

    A model without rrelu exports as ever. So does the rest of the call: torch's TorchScript exporter, for
    one, exports the whole model in eval mode unless its own argument `training` says otherwise.

    Args:
        seed, training, step_input, portable: as in `export`; each call numbers its own nodes.

    Raises:
        InvalidValueError (a ValueError), InvalidTypeError (a TypeError): an argument is not allowed; and from
            a call inside, as `export` raises them. A call with verify=True is refused, too.
    """
    with patched(Settings(seed, training, step_input, portable)):
        yield
