"""`ort-rrelu serve` and `ort-rrelu triton`: a model behind MLServer, and a model repository for Triton."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ort_rrelu.commands import terminal
from ort_rrelu.commands.app import app, integer
from ort_rrelu.errors import MissingPackageError
from ort_rrelu.graph.file import read_model
from ort_rrelu.serving.batching import obstacles
from ort_rrelu.serving.limits import Limits
from ort_rrelu.serving.triton import configuration, write_repository

_SERVE_EXAMPLE = terminal.example("ort-rrelu serve model.onnx --http-port 8080")


@app.command(epilog=f"Example: {_SERVE_EXAMPLE}")
def serve(
    model: Annotated[Path, typer.Argument(help="An ONNX model.", show_default=False)],
    name: Annotated[
        str | None, typer.Option(metavar="NAME", help="Name of the model in URLs, else its file's.")
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    http_port: Annotated[int, typer.Option(min=1, max=65535, help="HTTP port.")] = 8080,
    grpc_port: Annotated[int, typer.Option(min=1, max=65535, help="gRPC port.")] = 8081,
    max_batch_size: Annotated[
        int, typer.Option(min=1, help="Requests in a run. To share runs, a model that draws needs row steps.")
    ] = 32,
    max_batch_time: Annotated[
        float, typer.Option(min=0, help="Seconds that a request waits for others.")
    ] = 0.002,
    max_bytes: Annotated[
        int, typer.Option(min=1, help="Bytes of a request, and of all requests in work at a time.")
    ] = Limits.max_bytes,
    max_values: Annotated[
        int, typer.Option(min=1, help="Values of a request in JSON or typed contents, and strings.")
    ] = Limits.max_values,
    max_rows: Annotated[
        int, typer.Option(min=1, help="Rows of a run that requests share.")
    ] = Limits.max_rows,
    max_pixels: Annotated[
        int, typer.Option(min=1, help="Pixels of an image, and of all images in work at a time.")
    ] = Limits.max_pixels,
    max_side: Annotated[int, typer.Option(min=1, help="Width and height of an image.")] = Limits.max_side,
    max_connections: Annotated[int, typer.Option(min=1, help="HTTP connections.")] = Limits.max_connections,
    body_timeout: Annotated[
        float, typer.Option(help="Seconds for a request to arrive.")
    ] = Limits.body_timeout,
    seed: Annotated[
        int | None,
        typer.Option(parser=integer(), metavar="N", help="Seed for train nodes that have none."),
    ] = None,
    threads: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Threads of ONNX Runtime for one run.")
    ] = None,
) -> None:
    """Serve MODEL with the Open Inference Protocol, over HTTP and gRPC, until Ctrl-C."""
    limits = Limits(
        max_bytes=max_bytes,
        max_values=max_values,
        max_rows=max_rows,
        max_pixels=max_pixels,
        max_side=max_side,
        max_connections=max_connections,
        body_timeout=body_timeout,
    )
    try:
        from ort_rrelu.serving import mlserver_process
    except ModuleNotFoundError as error:
        raise MissingPackageError(
            f"{error.name}, which serving needs, is not installed: pip install 'ort-rrelu[serve]'"
        ) from error
    options = mlserver_process.Options(
        name=model.stem if name is None else name,
        host=host,
        http_port=http_port,
        grpc_port=grpc_port,
        max_batch_size=max_batch_size,
        max_batch_time=max_batch_time,
        limits=limits,
        seed=seed,
        threads=threads,
    )
    mlserver_process.serve(model, options)


_TRITON_EXAMPLE = terminal.example("ort-rrelu triton model.onnx repository")


@app.command(epilog=f"Example: {_TRITON_EXAMPLE}")
def triton(
    model: Annotated[Path, typer.Argument(help="An ONNX model.", show_default=False)],
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The repository.", show_default=False)],
    name: Annotated[
        str | None, typer.Option(metavar="NAME", help="Name of the model, else its file's.")
    ] = None,
    library: Annotated[
        str | None,
        typer.Option(metavar="PATH", help="Our library where Triton runs; the default is its path here."),
    ] = None,
    max_batch_size: Annotated[
        int, typer.Option(min=1, help="Rows in a run. To share runs, a model that draws needs row steps.")
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
