"""export: a torch model with rrelu -> an ONNX model; patch_onnx_export: the same in other people's code."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, BinaryIO
from unittest import mock

import onnx
import torch

from ort_rrelu.arguments import StepInput
from ort_rrelu.errors import InvalidTypeError, InvalidValueError
from ort_rrelu.exporting import check_destination, write_to
from ort_rrelu.graph.nodes import our_nodes
from ort_rrelu.graph.opset import opset_of
from ort_rrelu.torch import default_exporter, private, torchscript
from ort_rrelu.torch.export_settings import Settings, set_for_this_context


def export(
    model: torch.nn.Module | torch.export.ExportedProgram | torch.jit.ScriptModule,
    args: tuple[Any, ...] = (),
    f: str | os.PathLike[str] | BinaryIO | None = None,
    *,
    seed: int | None = None,
    training: bool | None = None,
    step_input: StepInput = False,
    portable: bool = True,
    dynamo: bool = True,
    opset_version: int | None = None,
    **kw: Any,
) -> onnx.ModelProto:
    """Export a torch model; every rrelu (nn.RReLU, functions, ort_rrelu.torch.RReLU) becomes an RRelu node.

    A model without rrelu exports as torch.onnx.export would.

    Args:
        model: a module, or an ExportedProgram (dynamo=True).
        args: example inputs, as for torch.onnx.export.
        f: where the model goes: a path, written all or nothing, or a binary stream such as io.BytesIO; None
            only returns it.
        seed: 0 .. 2^63 - 1 seeds train node i with ort_rrelu.reference.derive_seed(seed, i), the same slopes
            in every session; None: fresh entropy for each session. A module's own seed goes first: place j
            of a module that is called at several places gets ort_rrelu.reference.derive_seed(own, j), from
            j = 1 on.
        training: None keeps each rrelu's own mode; True or False sets all of them, and nothing else (not
            BatchNorm or Dropout).
        step_input: add one int64 graph input `step`, the number of the draw, wired to every train node: True
            for a scalar; "rows" for one step for each row, as graph.add_step_input(rows=True) proves it.
        portable: embed the functions with which the model also runs where the library is not registered
            (`ort_rrelu.graph.portable`), in opset 18 or newer.
        dynamo: True for torch's default exporter, False for the TorchScript one.
        opset_version: of the standard operators; None is torch's own choice. The default exporter writes 18
            or newer, and onnx converts that to older ones where it can.
        **kw: anything else that torch.onnx.export takes: dynamic_shapes, input_names, external_data, ...;
            except verify. export_params and keep_initializers_as_inputs also act on the returned model.

    Returns:
        The model, with its weights unless export_params=False.

    Raises:
        InvalidValueError (a ValueError), InvalidTypeError (a TypeError): an argument is not allowed, bounds
            are out of range, the model has a value named `step` already, there is no proof for a step for
            each row of a train node, some train nodes have a step and some have none (portable),
            opset_version is not possible, or the TorchScript exporter dropped an rrelu. Wrong arguments and
            bounds of modules are refused before the export begins.
        torch.onnx.errors.OnnxExporterError: torch cannot export the model.
        OSError: f cannot be written.
    """
    check_destination(f, kw.get("external_data"))
    if opset_version is not None and (not isinstance(opset_version, int) or isinstance(opset_version, bool)):
        raise InvalidTypeError(f"opset_version={opset_version!r}: it must be an integer, or None")
    default_exporter.refuse_verify(kw.pop("verify", False))
    external_data = kw.pop("external_data", None)
    taken: list[onnx.ModelProto] = []
    settings = Settings(seed, training, step_input, portable, taken.append)
    run = _export_dynamo if dynamo else _export_torchscript
    with patched(settings):
        run(model, args, opset_version=opset_version, **kw)
    exported = settings.finished(taken.pop(), opset_version)
    _check_opset(exported, opset_version)
    write_to(f, exported, external_data=external_data)
    return exported


def _check_opset(model: onnx.ModelProto, wanted: int | None) -> None:
    """torch writes the opset that it can, and logs that it is another one."""
    found = opset_of(model)
    if wanted is not None and found is not None and found > wanted and our_nodes(model):
        raise InvalidValueError(
            f"opset_version={wanted}: torch's default exporter writes opset {found}, and onnx cannot convert "
            f"this model to {wanted}; dynamo=False writes older opsets"
        )


def _export_dynamo(model: Any, args: tuple[Any, ...], **kw: Any) -> None:
    if torch.onnx.export(model, args, dynamo=True, **kw) is None:
        raise InvalidValueError("torch.onnx.export returned no program")


def _export_torchscript(model: Any, args: tuple[Any, ...], **kw: Any) -> None:
    if not isinstance(model, torch.nn.Module):  # a ScriptModule is one, too
        raise InvalidTypeError(f"dynamo=False: the TorchScript exporter cannot take a {type(model).__name__}")
    # torch would switch the whole model to eval, and advises against folding constants when it may not.
    in_training = any(module.training for module in model.modules())
    mode = torch.onnx.TrainingMode.PRESERVE if in_training else torch.onnx.TrainingMode.EVAL
    kw.setdefault("do_constant_folding", not in_training)
    torch.onnx.export(model, args, dynamo=False, training=mode, **kw)


@contextmanager
def patch_onnx_export(
    seed: int | None = None,
    *,
    training: bool | None = None,
    step_input: StepInput = False,
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


# What every call looks up when it runs: replacing torch.onnx.export would miss those who imported it before.
_PLACES: tuple[tuple[Any, str, Callable[[Callable[..., Any]], Callable[..., Any]]], ...] = (
    (*private.EXPORT_COMPAT, default_exporter.exporting),
    (*private.DISPATCH, default_exporter.dispatching),
    (*private.CONVERT_VERSION, default_exporter.converting),
    (*private.TORCHSCRIPT_EXPORT, torchscript.exporting),
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
