"""`ort-rrelu lower`: a model without RRelu, in standard operators."""

from __future__ import annotations

from functools import partial
from typing import Annotated

import typer

from ort_rrelu import graph
from ort_rrelu.commands import terminal
from ort_rrelu.commands.app import app
from ort_rrelu.commands.options import AsJson, Force, Model, Output
from ort_rrelu.commands.transform import transform

__all__ = ["lower"]

_EXAMPLE = terminal.example("ort-rrelu lower model.onnx --output lowered.onnx")


@app.command(epilog=f"Example: {_EXAMPLE}")
def lower(
    model: Model,
    output: Output,
    exact: Annotated[
        bool,
        typer.Option(
            "--exact",
            help="Train nodes keep their bits, at a fiftieth of the speed; they need a seed and a step.",
        ),
    ] = False,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Write MODEL in standard operators alone: eval nodes as LeakyRelu, train nodes as random draws."""
    transform(model, output, partial(graph.lower, exact=exact), force=force, as_json=as_json)
