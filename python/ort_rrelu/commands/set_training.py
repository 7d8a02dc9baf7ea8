"""`ort-rrelu set-training`: mode, seeds and step of the RRelu nodes of a model."""

from __future__ import annotations

from typing import Annotated

import onnx
import typer

from ort_rrelu import graph
from ort_rrelu.commands import terminal
from ort_rrelu.commands.app import app
from ort_rrelu.commands.options import AsJson, DerivedSeed, Force, Model, Output, StepInput
from ort_rrelu.commands.transform import transform
from ort_rrelu.errors import InvalidValueError

__all__ = ["set_training"]

_EXAMPLE = terminal.example("ort-rrelu set-training model.onnx --train --seed 1 --output train.onnx")


@app.command(epilog=f"Example: {_EXAMPLE}")
def set_training(
    model: Model,
    output: Output,
    training: Annotated[
        bool | None, typer.Option("--train/--eval", help="The mode of the nodes; without it, their own.")
    ] = None,
    nodes: Annotated[
        str | None,
        typer.Option(
            metavar="GLOB", help="Only nodes with such a name, as in '/encoder/*', change their mode."
        ),
    ] = None,
    seed: DerivedSeed = None,
    step_input: StepInput = False,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Switch the RRelu nodes of MODEL to train or eval mode, seed them, and number their draws."""
    if training is None and seed is None and not step_input:
        raise InvalidValueError("nothing to set: name --train or --eval, --seed, or --step-input")
    if nodes is not None and training is None:
        raise InvalidValueError(f"--nodes {nodes}: it needs --train or --eval")

    def tool(proto: onnx.ModelProto) -> onnx.ModelProto:
        if training is not None:
            proto = graph.set_training(proto, training, names=nodes)
        if seed is not None:
            proto = graph.seed(proto, seed)
        return graph.add_step_input(proto) if step_input else proto

    transform(model, output, tool, force=force, as_json=as_json)
