"""MLServer run for one model, with limits on what requests may send."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from dataclasses import asdict, dataclass, field
from pathlib import Path

import uvicorn
from mlserver import MLServer, ModelSettings, Settings
from mlserver.errors import MLServerError
from mlserver.settings import ModelParameters

from ort_rrelu.errors import InvalidValueError
from ort_rrelu.serving.limits import Limits
from ort_rrelu.serving.mlserver import Runtime
from ort_rrelu.serving.mlserver_grpc import BoundedGRPCServer
from ort_rrelu.serving.mlserver_http import Inference, bounded_protocol
from ort_rrelu.serving.model import ServedModel, return_large_blocks


@dataclass(frozen=True)
class Options:
    """How a model is served.

    name: the model's in the protocol. max_batch_size: requests of one run, 1 for no batching; max_batch_time:
    seconds that a request waits for others. limits: of requests and connections. seed, threads: as in
    ServedModel.
    """

    name: str
    host: str = "127.0.0.1"
    http_port: int = 8080
    grpc_port: int = 8081
    max_batch_size: int = 32
    max_batch_time: float = 0.002
    limits: Limits = field(default_factory=Limits)
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
    return_large_blocks()
    asyncio.run(_serve(settings, options))


def _model_settings(path: str, options: Options) -> ModelSettings:
    extra = {"seed": options.seed, "threads": options.threads, **asdict(options.limits)}
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


async def _refuse(name: str) -> bool:
    raise MLServerError(f'model "{name}": this server loads and unloads no models')


def _is_no_refusal(record: logging.LogRecord) -> bool:
    """MLServer writes the traceback of a request that it refuses: a client could fill the disk with them."""
    return record.exc_info is None or not isinstance(record.exc_info[1], MLServerError)


async def _serve(settings: ModelSettings, options: Options) -> None:
    server = MLServer(
        Settings(
            host=options.host,
            http_port=options.http_port,
            grpc_port=options.grpc_port,
            grpc_max_message_length=options.limits.max_bytes,
            parallel_workers=0,  # ONNX Runtime has threads of its own
            metrics_endpoint=None,
            gzip_enabled=False,  # it would work in the event loop
            debug=False,  # a client is not shown tracebacks
        )
    )
    # MLServer 1.7.1 has no limits but that of a message, and no public way to its parts.
    for verb in ("load", "unload"):  # any client could take the model away, and none could bring it back
        setattr(server._model_repository_handlers, verb, _refuse)
    limits, rest = options.limits, server._rest_server
    find = server._model_registry.get_model
    rest._app.add_middleware(Inference, find=find, body_timeout=limits.body_timeout)
    rest._get_config = lambda: uvicorn.Config(
        rest._app,
        host=options.host,
        port=options.http_port,
        http=bounded_protocol(limits),
        ws="none",
        lifespan="off",  # the application has none, and its task would be cancelled with a traceback
        access_log=False,
        log_config=None,
    )
    server._grpc_server = BoundedGRPCServer(
        server._settings, server._data_plane, server._model_repository_handlers
    )
    server._grpc_server.limits = limits
    for name in ("mlserver.grpc", "uvicorn.access"):
        logging.getLogger(name).setLevel(logging.WARNING)  # a line for each request
    logging.getLogger("mlserver.grpc").addFilter(_is_no_refusal)
    await server.start([settings])
