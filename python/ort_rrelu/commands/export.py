"""`ort-rrelu export`: an ONNX model from torch or Paddle."""

from __future__ import annotations

import importlib
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Annotated, Any

import onnx
import typer

import ort_rrelu
from ort_rrelu import graph
from ort_rrelu.commands import terminal
from ort_rrelu.commands.app import (
    AsJson,
    DerivedSeed,
    Force,
    RowSteps,
    StepInput,
    app,
    check_output,
    integer,
    step_input_of,
)
from ort_rrelu.commands.describe import model_facts, print_model
from ort_rrelu.commands.factory import importable_here, is_factory
from ort_rrelu.errors import ConversionError, InvalidValueError
from ort_rrelu.graph.file import write_model
from ort_rrelu.graph.opset import opset_of

_EXAMPLE = terminal.example(
    "ort-rrelu export net:network --input-shape 1,3,32,32 --dynamic-batch --output model.onnx"
)
_PROGRAM, _PADDLE = ".pt2", {".json", ".pdmodel"}


@app.command(epilog=f"Example: {_EXAMPLE}")
def export(
    source: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="package.module:factory, a function without arguments that makes a torch module, or a "
            "module; or a .pt2 file of torch.export.save; or a saved Paddle model, .json or .pdmodel.",
            show_default=False,
        ),
    ],
    output: Annotated[
        Path,
        typer.Option("--output", "-o", metavar="FILE", help="Where the ONNX model goes.", show_default=False),
    ],
    shapes: Annotated[
        list[str] | None,
        typer.Option(
            "--input-shape",
            metavar="[DTYPE:]SIZES",
            help="An example input for the factory's module, as in 1,3,32,32 or int64:1,128; once for each "
            "argument of its forward.",
        ),
    ] = None,
    files: Annotated[
        list[str] | None,
        typer.Option("--input", "-i", metavar="FILE.npy", help="The same from files, instead of shapes."),
    ] = None,
    dynamic_batch: Annotated[
        bool,
        typer.Option(
            "--dynamic-batch",
            help="The first dimension may have any size, in all inputs that share it with the first one.",
        ),
    ] = False,
    dynamic_axes: Annotated[
        list[str] | None,
        typer.Option(
            "--dynamic-axis",
            metavar="INPUT:AXIS=NAME",
            help="This dimension may also have any size, as in edges:1=E; equal names mean equal sizes. "
            "Inputs have the names of forward's arguments.",
        ),
    ] = None,
    training: Annotated[
        bool | None,
        typer.Option(
            "--train/--eval",
            help="--train sets the rrelus, and nothing else; --eval the whole module. Without it the modes "
            "stay as they are, which in a saved Paddle model is eval.",
        ),
    ] = None,
    seed: DerivedSeed = None,
    step_input: StepInput = False,
    step_input_rows: RowSteps = False,
    opset: Annotated[
        int | None,
        typer.Option(parser=integer(1), metavar="N", help="Opset; without it the exporter's own choice."),
    ] = None,
    no_portable: Annotated[
        bool, typer.Option("--no-portable", help="Write a model that needs the library.")
    ] = False,
    lower: Annotated[
        bool,
        typer.Option(
            "--lower",
            help="Write standard operators alone, as `ort-rrelu lower` does: eval nodes as LeakyRelu, for "
            "runtimes without the library.",
        ),
    ] = False,
    torchscript: Annotated[
        bool, typer.Option("--torchscript", help="Use torch's older exporter, by tracing.")
    ] = False,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Export a torch or Paddle model to ONNX; each rrelu becomes an RRelu node."""
    check_output(output, force=force)
    if lower and (step_input or step_input_rows):
        raise InvalidValueError(
            "--step-input: --lower leaves train nodes to the runtime's random numbers, which have no step; "
            "export without --lower, then `ort-rrelu lower --exact`"
        )
    for_factories = {
        "--input-shape": shapes,
        "--input": files,
        "--dynamic-batch": dynamic_batch,
        "--dynamic-axis": dynamic_axes,
        "--torchscript": torchscript,
    }
    options = {
        "training": training,
        "seed": seed,
        "step_input": step_input_of(one=step_input, rows=step_input_rows),
        "portable": not no_portable and not lower,  # which also asks for a newer opset
        "opset_version": opset,
    }
    # What a user's module prints is no part of our output.
    with terminal.working(f"Exporting {source}", quiet=as_json), redirect_stdout(sys.stderr):
        if is_factory(source):
            axes = {"dynamic_batch": dynamic_batch, "dynamic_axes": dynamic_axes or ()}
            model = _from_factory(source, shapes, files, {"dynamo": not torchscript} | axes | options)
        else:
            _refuse(source, for_factories)
            model = _from_file(Path(source), options)
        if lower:
            model = graph.lower(model)
        _check_opset(model, opset)
        write_model(model, output)
    facts = {"source": source, "model": str(output), **model_facts(model)}
    if as_json:
        terminal.print_json(facts)
        return
    print_model(facts)
    terminal.print_line(f"\nWrote {output}")


def _from_factory(
    source: str,
    shapes: list[str] | None,
    files: list[str] | None,
    options: dict[str, Any],
) -> onnx.ModelProto:
    with importable_here():
        exported: onnx.ModelProto = _torch_source().from_factory(source, shapes or (), files or (), **options)
    return exported


def _from_file(path: Path, options: dict[str, Any]) -> onnx.ModelProto:
    exported: onnx.ModelProto
    if path.suffix == _PROGRAM:
        exported = _torch_source().from_program(path, **options)
        return exported
    if path.suffix in _PADDLE:
        exported = ort_rrelu.paddle.export(path, **options)
        return exported
    raise InvalidValueError(
        f"{path}: it must be package.module:factory, an exported program (.pt2), or a Paddle model "
        "(.json, .pdmodel)"
    )


def _torch_source() -> Any:
    """Imported here, since torch takes seconds."""
    importlib.import_module("ort_rrelu.torch")  # first: it says what to install where torch is missing
    return importlib.import_module("ort_rrelu.commands.torch_source")


def _refuse(source: str, options: dict[str, Any]) -> None:
    """A saved model has its inputs, and was traced."""
    given = [name for name, value in options.items() if value]
    if given and Path(source).suffix in {_PROGRAM, *_PADDLE}:
        raise InvalidValueError(f"{given[0]}: {source} is a saved model: only a factory's module takes it")


def _check_opset(model: onnx.ModelProto, wanted: int | None) -> None:
    """torch writes the opset that it can, and logs that it is another one."""
    if wanted is not None and (found := opset_of(model)) != wanted:
        raise ConversionError(f"--opset {wanted}: the exporter cannot write it, only {found}")
