"""export: a torch model with rrelu -> an ONNX model with RRelu nodes, with either of torch's exporters."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import onnx
import torch

from ort_rrelu.arguments import check_switch
from ort_rrelu.errors import Error, InvalidTypeError, InvalidValueError
from ort_rrelu.exporting import finished
from ort_rrelu.files import check_target
from ort_rrelu.graph.file import read_model, write_model
from ort_rrelu.graph.nodes import our_nodes
from ort_rrelu.graph.unused_outputs import remove_unused_outputs
from ort_rrelu.node_attributes import check_bounds
from ort_rrelu.torch.lost_writes import counted_calls
from ort_rrelu.torch.torchscript import torchscript_symbolics
from ort_rrelu.torch.translation import translation_table

__all__ = ["export"]


def export(
    model: torch.nn.Module | torch.export.ExportedProgram | torch.jit.ScriptModule,
    args: tuple[Any, ...] = (),
    f: str | os.PathLike[str] | None = None,
    *,
    seed: int | None = None,
    training: bool | None = None,
    step_input: bool = False,
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
        f: where the model goes, written all or nothing; None only returns it.
        seed: 0 .. 2^63 - 1 seeds train node i with ort_rrelu.reference.derive_seed(seed, i), the same slopes
            in every session; None: fresh entropy for each session. A module's own seed goes first.
        training: None keeps each rrelu's own mode; True or False sets all of them, and nothing else (not
            BatchNorm or Dropout).
        step_input: add one int64 graph input `step`, the number of the draw, wired to every train node.
        portable: embed the functions with which the model also runs where the library is not registered
            (`ort_rrelu.graph.portable`), in opset 18 or newer.
        dynamo: True for torch's default exporter, False for the TorchScript one.
        opset_version: of the standard operators; None is torch's own choice.
        **kw: anything else that torch.onnx.export takes: dynamic_shapes, input_names, external_data, ...

    Returns:
        The model, with its weights.

    Raises:
        InvalidValueError (a ValueError), InvalidTypeError (a TypeError): an argument is not allowed, bounds
            are out of range, the model has a value named `step` already, some train nodes have a step and
            some have none (portable), or the TorchScript exporter dropped an rrelu.
        torch.onnx.errors.OnnxExporterError: torch cannot export the model.
        OSError: f cannot be written.
    """
    if f is not None:
        check_target(f)
    check_switch("step_input", step_input)
    check_switch("portable", portable)
    if kw.pop("verify", False):
        raise InvalidValueError(
            "verify=True: torch's check cannot load the library; "
            "run the model with ort_rrelu.InferenceSession instead"
        )
    external_data = kw.pop("external_data", None)
    _check_modules(model)
    run = _export_dynamo if dynamo else _export_torchscript
    exported = run(model, args, seed=seed, training=training, opset_version=opset_version, **kw)
    remove_unused_outputs(exported)
    exported = finished(exported, step_input=step_input, portable=portable, opset_version=opset_version)
    if f is not None:
        write_model(exported, f, external_data=external_data)
    return exported


def _check_modules(model: Any) -> None:
    """torch refuses some bounds by itself, and buries what it says under advice on exporting."""
    for name, module in getattr(model, "named_modules", tuple)():
        if isinstance(module, torch.nn.RReLU):
            try:
                check_bounds(module.lower, module.upper)
            except InvalidValueError as error:
                raise InvalidValueError(f"RReLU module {name!r}: {error}") from error


def _own_error(error: BaseException | None) -> Error | None:
    """The error of ours that torch's exporter wrapped, if any."""
    while error is not None and not isinstance(error, Error):
        error = error.__cause__
    return error


def _export_dynamo(
    model: Any,
    args: tuple[Any, ...],
    *,
    seed: int | None,
    training: bool | None,
    custom_translation_table: dict[Any, Any] | None = None,
    **kw: Any,
) -> onnx.ModelProto:
    table = translation_table(seed, training=training) | (custom_translation_table or {})
    try:
        program = torch.onnx.export(model, args, dynamo=True, custom_translation_table=table, **kw)
    except torch.onnx.errors.OnnxExporterError as error:
        if (own := _own_error(error)) is not None:
            raise type(own)(*own.args) from error
        raise
    if program is None:
        raise InvalidValueError("torch.onnx.export returned no program")
    return program.model_proto


def _export_torchscript(
    model: Any, args: tuple[Any, ...], *, seed: int | None, training: bool | None, **kw: Any
) -> onnx.ModelProto:
    if not isinstance(model, torch.nn.Module):  # a ScriptModule is one, too
        raise InvalidTypeError(f"dynamo=False: the TorchScript exporter cannot take a {type(model).__name__}")
    # torch would switch the whole model to eval, and advises against folding constants when it may not.
    in_training = any(module.training for module in model.modules())
    mode = torch.onnx.TrainingMode.PRESERVE if in_training else torch.onnx.TrainingMode.EVAL
    kw.setdefault("do_constant_folding", not in_training)
    with tempfile.TemporaryDirectory() as folder, torchscript_symbolics(seed, training=training):
        path = os.fspath(Path(folder) / "model.onnx")  # a Path would be taken for a file in memory
        with counted_calls() as calls:
            torch.onnx.export(model, args, path, dynamo=False, training=mode, **kw)
        exported = read_model(path, external_data=True)
    calls.check(len(our_nodes(exported)))
    return exported
