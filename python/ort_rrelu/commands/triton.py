"""`ort-rrelu triton`: a model repository for Triton."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ort_rrelu.commands import terminal
from ort_rrelu.commands.app import app
from ort_rrelu.graph.file import read_model
from ort_rrelu.serving.batching import obstacles
from ort_rrelu.serving.triton import configuration, write_repository

__all__ = ["triton"]

_EXAMPLE = terminal.example("ort-rrelu triton model.onnx repository")


@app.command(epilog=f"Example: {_EXAMPLE}")
def triton(
    model: Annotated[Path, typer.Argument(help="An ONNX model.", show_default=False)],
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The repository.", show_default=False)],
    name: Annotated[
        str | None, typer.Option(metavar="NAME", help="Of the model; its file's name without it.")
    ] = None,
    library: Annotated[
        str | None,
        typer.Option(metavar="PATH", help="Our library where Triton runs, else where it is here."),
    ] = None,
    max_batch_size: Annotated[
        int, typer.Option(min=1, help="Rows in a run. Models that draw slopes never share runs.")
    ] = 32,
    queue_delay: Annotated[
        int, typer.Option(min=0, metavar="US", help="Microseconds that a request waits for others.")
    ] = 2000,
    instances: Annotated[int, typer.Option(min=1, help="Sessions on each device.")] = 1,
    kind: Annotated[str, typer.Option(help="auto, cpu or gpu.")] = "auto",
) -> None:
    """Write MODEL and its config.pbtxt into the model repository DIR."""
    proto = read_model(model)
    name = model.stem if name is None else name
    text = configuration(
        proto,
        name,
        library_path=library,
        max_batch_size=max_batch_size,
        queue_microseconds=queue_delay,
        instances=instances,
        kind=kind,
    )
    for path in write_repository(model, folder, name, text):
        terminal.print_line(f"wrote {path}")
    for reason in obstacles(proto):
        terminal.print_line(f"max_batch_size is 0: {reason}")
        break
