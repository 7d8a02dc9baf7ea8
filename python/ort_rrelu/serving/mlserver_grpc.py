"""Inference over gRPC in MLServer: messages are read in turn, and not converted in the event loop.

MLServer's own servicer makes a Python list of every tensor, in the event loop, and a server of gRPC reads
every message whole before it asks anybody.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from functools import partial
from typing import Any

import grpc
from google.protobuf.message import DecodeError
from mlserver.errors import MLServerError
from mlserver.grpc import dataplane_pb2
from mlserver.grpc.dataplane_pb2_grpc import add_GRPCInferenceServiceServicer_to_server
from mlserver.grpc.model_repository import ModelRepositoryServicer
from mlserver.grpc.model_repository_pb2_grpc import add_ModelRepositoryServiceServicer_to_server
from mlserver.grpc.server import GRPCServer
from mlserver.grpc.servicers import InferenceServicer

from ort_rrelu.serving.admission import SMALL, Turns
from ort_rrelu.serving.errors import RequestError
from ort_rrelu.serving.grpc_messages import fill_answer, tensors_of
from ort_rrelu.serving.limits import Limits
from ort_rrelu.serving.mlserver import Runtime

_SERVICE = "/inference.GRPCInferenceService/"
_NO_CONTENT = {f"{_SERVICE}{name}" for name in ("ServerLive", "ServerReady", "ServerMetadata")}
_INFER = f"{_SERVICE}ModelInfer"
_AT_A_TIME, _WAITING = 2, 256  # messages that are read, and that wait to be
_CODES = {
    404: grpc.StatusCode.NOT_FOUND,
    408: grpc.StatusCode.DEADLINE_EXCEEDED,
    500: grpc.StatusCode.INTERNAL,
    413: grpc.StatusCode.RESOURCE_EXHAUSTED,
    503: grpc.StatusCode.UNAVAILABLE,
}


class BoundedGRPCServer(GRPCServer):
    """MLServer's server of gRPC for one model, with our inference and the gate before it."""

    limits = Limits()

    def _create_server(self) -> Any:
        gate = _Gate(self._data_plane._model_registry, self.limits)
        self._server = grpc.aio.server(
            ThreadPoolExecutor(1), interceptors=[gate], options=self._get_options()
        )
        add_GRPCInferenceServiceServicer_to_server(
            InferenceServicer(self._data_plane, self._model_repository_handlers), self._server
        )
        add_ModelRepositoryServiceServicer_to_server(
            ModelRepositoryServicer(self._model_repository_handlers), self._server
        )
        self._server.add_insecure_port(f"{self._settings.host}:{self._settings.grpc_port}")
        return self._server

    def _get_options(self) -> list[tuple[str, Any]]:
        milliseconds = max(round(self.limits.body_timeout * 1000), 1)
        return [*super()._get_options(), ("grpc.server_handshake_timeout_ms", milliseconds)]


class _Gate(grpc.aio.ServerInterceptor):  # type: ignore[misc]
    """Every method reads its message itself, as a stream of one: it is not in memory before."""

    def __init__(self, models: Any, limits: Limits) -> None:
        self._models = models
        self._limits = limits
        self._reading = Turns(_AT_A_TIME, _WAITING)

    async def intercept_service(self, continuation: Any, details: Any) -> Any:
        handler = await continuation(details)
        if handler is None or handler.request_streaming or handler.response_streaming:
            return None  # no model here answers in a stream: UNIMPLEMENTED
        answer = self._infer if details.method == _INFER else partial(self._pass_on, handler, details.method)

        async def refusing(_: Any, context: Any) -> Any:
            try:
                return await answer(context)
            # No name for the error: its traceback would hold the request until the next garbage collection.
            except RequestError as error:
                status, reason = error.status, str(error)
            except MLServerError as error:
                status, reason = error.status_code, str(RequestError(str(error)))
            await context.abort(_CODES.get(status, grpc.StatusCode.INVALID_ARGUMENT), reason)

        return grpc.stream_unary_rpc_method_handler(refusing, None, handler.response_serializer)

    async def _pass_on(self, handler: Any, method: str, context: Any) -> Any:
        """To MLServer's servicer: health, metadata and such."""
        if method in _NO_CONTENT:
            return await handler.unary_unary(handler.request_deserializer(b""), context)
        async with self._reading.take(1):
            message = await self._read(context, SMALL)
        return await handler.unary_unary(_parsed(handler.request_deserializer, message), context)

    async def _infer(self, context: Any) -> Any:
        (model,) = await self._models.get_models()
        admission = model.admission
        async with admission.request(), AsyncExitStack() as stack:
            async with self._reading.take(1):
                message = await self._read(context, self._limits.max_bytes)
                await stack.enter_async_context(admission.message_turn(len(message)))
            size = len(message)
            parse = partial(_parsed, dataplane_pb2.ModelInferRequest.FromString)
            request = await admission.parsed(size, parse, message)
            del message
            runtime: Runtime = await self._models.get_model(request.model_name, request.model_version or None)
            answer = dataplane_pb2.ModelInferResponse(
                id=request.id, model_name=runtime.name, model_version=runtime.version or ""
            )
            typed, tensors = not request.raw_input_contents, tensors_of(request)
            wanted = [output.name for output in request.outputs]
            del request  # the tensors have copies of raw bytes
            arrays = await runtime.answer(size, tensors, wanted)
            written = sum(array.nbytes for array in arrays.values())
            return await admission.parsed(written, fill_answer, answer, runtime.served, arrays, typed)

    async def _read(self, context: Any, most: int) -> bytes:
        seconds = self._limits.body_timeout
        try:
            async with asyncio.timeout(seconds):
                message = await context.read()
        except TimeoutError as error:
            raise RequestError(f"the message did not come within {seconds:g} seconds", 408) from error
        if message is grpc.aio.EOF:
            raise RequestError("the call has no message")
        if len(message) > most:
            raise RequestError(f"the message has {len(message)} bytes: at most {most}", 413)
        return bytes(message)


def _parsed(deserialize: Callable[[bytes], Any], message: bytes) -> Any:
    try:
        return deserialize(message)
    except DecodeError as error:
        raise RequestError("the message is none of this method") from error
