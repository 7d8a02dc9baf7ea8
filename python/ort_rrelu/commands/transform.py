"""`ort-rrelu lower`, `fuse`, `set-training` and `portable`: the verbs that write a changed model."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import onnx
import typer

from ort_rrelu import graph
from ort_rrelu.arguments import ROWS
from ort_rrelu.commands import terminal
from ort_rrelu.commands.app import (
    AsJson,
    DerivedSeed,
    Force,
    Model,
    Output,
    RowSteps,
    StepInput,
    app,
    check_output,
    step_input_of,
)
from ort_rrelu.commands.describe import changes, print_changes
from ort_rrelu.errors import InvalidValueError
from ort_rrelu.graph.check import check_model
from ort_rrelu.graph.file import new_model, read_as_written, write_model
from ort_rrelu.graph.onnx_tools import onnx_errors


def transform(
    path: Path,
    output: Path,
    tool: Callable[[onnx.ModelProto], onnx.ModelProto],
    *,
    force: bool,
    as_json: bool,
    more: Callable[[], dict[str, Any]] = dict,
    print_more: Callable[[dict[str, Any]], None] = lambda facts: None,
) -> None:
    """Apply a tool to a model file, write the result, and show what has changed.

    more, print_more: further facts of the tool, asked for after it has run, and how they are shown.
    """
    check_output(output, force=force, source=path)
    with terminal.working(f"Reading {path}, writing {output}", quiet=as_json):
        before = _checked(path)
        after = tool(before)
        write_model(after, output, weights_from=path.parent)
    facts = {"model": str(path), "output": str(output), "changes": changes(before, after), **more()}
    if as_json:
        terminal.print_json(facts)
        return
    terminal.print_line(facts["model"], style="bold")
    print_changes(facts["changes"])
    print_more(facts)
    terminal.print_line(f"\nWrote {output}")


def _checked(path: Path) -> onnx.ModelProto:
    written = read_as_written(path)
    model = new_model(written)
    check_model(model)
    with onnx_errors(f"{path}: onnx's checker refuses the model"):
        if len(model.opset_import) == len(written.opset_import):
            onnx.checker.check_model(os.fspath(path))  # by its path, since weights may lie beside it
        else:  # it lacks the import of our domain
            onnx.checker.check_model(_without_weights_elsewhere(model))
    return model


def _without_weights_elsewhere(model: onnx.ModelProto) -> onnx.ModelProto:
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    for tensor in copy.graph.initializer:
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            tensor.CopyFrom(onnx.TensorProto(name=tensor.name, data_type=tensor.data_type, dims=[0]))
    return copy


_LOWER_EXAMPLE = terminal.example("ort-rrelu lower model.onnx --output lowered.onnx")


@app.command(epilog=f"Example: {_LOWER_EXAMPLE}")
def lower(
    model: Model,
    output: Output,
    exact: Annotated[
        bool,
        typer.Option(
            "--exact",
            help="Keep the bits of train nodes, at a fiftieth of the speed; they need a seed and a step.",
        ),
    ] = False,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Write MODEL in standard operators alone: eval nodes as LeakyRelu, train nodes as random draws."""
    transform(model, output, partial(graph.lower, exact=exact), force=force, as_json=as_json)


_FUSE_EXAMPLE = terminal.example("ort-rrelu fuse stock.onnx --output fused.onnx")


@app.command(epilog=f"Example: {_FUSE_EXAMPLE}")
def fuse(
    model: Model,
    output: Output,
    no_portable: Annotated[
        bool, typer.Option("--no-portable", help="Write a model that needs the library.")
    ] = False,
    leaky: Annotated[
        bool,
        typer.Option("--leaky", help="Also turn tf2onnx's sums of products with masks into LeakyRelu."),
    ] = False,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Turn RReLU as other exporters write it in MODEL, random slopes and PRelu or Where, into RRelu nodes."""
    findings: list[graph.Finding] = []
    transform(
        model,
        output,
        partial(graph.fuse, report=findings.append, portable=not no_portable, leaky=leaky),
        force=force,
        as_json=as_json,
        more=lambda: {"findings": [asdict(finding) for finding in findings]},
        print_more=_print,
    )


def _print(facts: dict[str, Any]) -> None:
    for title, fused in (("Fused", True), ("Left as they are", False)):
        rows = [[each["node"], each["reason"]] for each in facts["findings"] if each["fused"] == fused]
        if rows:
            terminal.print_table(title, ["node", "how" if fused else "why"], rows)


_SET_TRAINING_EXAMPLE = terminal.example(
    "ort-rrelu set-training model.onnx --train --seed 1 --output train.onnx"
)


@app.command(epilog=f"Example: {_SET_TRAINING_EXAMPLE}")
def set_training(
    model: Model,
    output: Output,
    training: Annotated[
        bool | None, typer.Option("--train/--eval", help="The mode of the nodes, else their own.")
    ] = None,
    nodes: Annotated[
        str | None,
        typer.Option(
            metavar="GLOB", help="Only nodes with such a name, as in '/encoder/*', change their mode."
        ),
    ] = None,
    seed: DerivedSeed = None,
    step_input: StepInput = False,
    step_input_rows: RowSteps = False,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Switch the RRelu nodes of MODEL to train or eval mode, seed them, and number their draws."""
    steps = step_input_of(one=step_input, rows=step_input_rows)
    if training is None and seed is None and not steps:
        raise InvalidValueError(
            "nothing to set: name --train or --eval, --seed, --step-input or --step-input-rows"
        )
    if nodes is not None and training is None:
        raise InvalidValueError(f"--nodes {nodes}: it needs --train or --eval")

    def tool(proto: onnx.ModelProto) -> onnx.ModelProto:
        if training is not None:
            proto = graph.set_training(proto, training, names=nodes)
        if seed is not None:
            proto = graph.seed(proto, seed)
        return graph.add_step_input(proto, rows=steps == ROWS) if steps else proto

    transform(model, output, tool, force=force, as_json=as_json)


_PORTABLE_EXAMPLE = terminal.example("ort-rrelu portable model.onnx --output portable.onnx")


@app.command(epilog=f"Example: {_PORTABLE_EXAMPLE}")
def portable(model: Model, output: Output, force: Force = False, as_json: AsJson = False) -> None:
    """Embed in MODEL the functions with which it also runs where the library is not.

    Where the library is, its kernels run. Models of an opset below 18 are converted.
    """
    transform(model, output, graph.portable, force=force, as_json=as_json)
