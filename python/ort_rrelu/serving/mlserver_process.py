"""MLServer run for one model, with a limit on what a request may send."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlserver.grpc.server
from mlserver import MLServer, ModelSettings, Settings
from mlserver.errors import MLServerError
from mlserver.grpc.servicers import InferenceServicer
from mlserver.settings import ModelParameters

from ort_rrelu.errors import InvalidValueError
from ort_rrelu.serving.body_limit import BodyLimit
from ort_rrelu.serving.mlserver import Runtime
from ort_rrelu.serving.model import ServedModel

__all__ = ["Options", "serve"]


@dataclass(frozen=True)
class Options:
    """How a model is served.

    name: the model's in the protocol. max_batch_size: requests of one run, 1 for no batching; max_batch_time:
    seconds that a request waits for others. max_bytes: of a request's body. seed, threads: as in ServedModel.
    """

    name: str
    host: str = "127.0.0.1"
    http_port: int = 8080
    grpc_port: int = 8081
    max_batch_size: int = 32
    max_batch_time: float = 0.002
    max_bytes: int = 64 * 2**20
    seed: int | None = None
    threads: int | None = None


def serve(model: str | os.PathLike[str], options: Options) -> None:
    """Serve until SIGINT or SIGTERM.

    Raises what Runtime and ServedModel raise, InvalidValueError for one port asked for twice, and
    OSError for a port that is taken, before anything listens.
    """
    path = str(Path(model).resolve())
    settings = _model_settings(path, options)
    ServedModel(path, seed=options.seed, threads=options.threads)  # raises what is wrong with the model
    Runtime(settings.model_copy())
    if options.http_port == options.grpc_port:
        raise InvalidValueError(f"HTTP and gRPC port are both {options.http_port}: they must differ")
    for port in (options.http_port, options.grpc_port):
        _check_port(options.host, port)
    asyncio.run(_serve(settings, options))


def _model_settings(path: str, options: Options) -> ModelSettings:
    extra = {"seed": options.seed, "threads": options.threads}
    return ModelSettings(
        name=options.name,
        implementation=Runtime,
        platform="onnxruntime_ort_rrelu",
        parameters=ModelParameters(uri=path, extra=extra),
        max_batch_size=options.max_batch_size,
        max_batch_time=options.max_batch_time,
    )


def _check_port(host: str, port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise OSError(error.errno, f"{error.strerror}, port {port}", host) from error


class _Servicer(InferenceServicer):
    """Answers INVALID_ARGUMENT where MLServer 1.7.1 fails over a message that contradicts itself."""

    def _InsertHeaders(self, request: Any, context: Any) -> Any:  # noqa: N802
        try:
            return super()._InsertHeaders(request, context)
        except (struct.error, IndexError, KeyError, OverflowError, TypeError, ValueError) as error:
            raise MLServerError(f"not a request of the Open Inference Protocol: {error!r}") from error


async def _refuse(name: str) -> bool:
    raise MLServerError(f'model "{name}": this server loads and unloads no models')


async def _serve(settings: ModelSettings, options: Options) -> None:
    server = MLServer(
        Settings(
            host=options.host,
            http_port=options.http_port,
            grpc_port=options.grpc_port,
            grpc_max_message_length=options.max_bytes,
            parallel_workers=0,  # ONNX Runtime has threads of its own
            metrics_endpoint=None,
            debug=False,  # a client is not shown tracebacks
        )
    )
    # MLServer 1.7.1 has no limit on HTTP bodies, and no public way to its app and servicer.
    mlserver.grpc.server.InferenceServicer = _Servicer
    for verb in ("load", "unload"):  # any client could take the model away, and none could bring it back
        setattr(server._model_repository_handlers, verb, _refuse)
    server._rest_server._app.add_middleware(BodyLimit, max_bytes=options.max_bytes)
    for name in ("mlserver.grpc", "uvicorn.access"):
        logging.getLogger(name).setLevel(logging.WARNING)  # a line for each request
    await server.start([settings])
