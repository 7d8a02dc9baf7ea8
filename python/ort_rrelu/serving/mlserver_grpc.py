"""Inference over gRPC in MLServer: messages are read in turn, and not converted in the event loop.

MLServer's own servicer makes a Python list of every tensor, in the event loop, and a server of gRPC reads
every message whole before it asks anybody.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
from mlserver.errors import MLServerError
from mlserver.grpc import dataplane_pb2
from mlserver.grpc.dataplane_pb2_grpc import add_GRPCInferenceServiceServicer_to_server
from mlserver.grpc.model_repository import ModelRepositoryServicer
from mlserver.grpc.model_repository_pb2_grpc import add_ModelRepositoryServiceServicer_to_server
from mlserver.grpc.server import GRPCServer
from mlserver.grpc.servicers import InferenceServicer

from ort_rrelu.serving.admission import SMALL
from ort_rrelu.serving.errors import RequestError
from ort_rrelu.serving.grpc_messages import fill_answer, tensors_of
from ort_rrelu.serving.limits import Limits
from ort_rrelu.serving.mlserver import Runtime
from ort_rrelu.serving.requests import Answer
from ort_rrelu.serving.turns import Turns

__all__ = ["BoundedGRPCServer"]

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
    """MLServer's server of gRPC with our servicer and the gate before it."""

    limits = Limits()

    def _create_server(self) -> Any:
        self._server = grpc.aio.server(
            ThreadPoolExecutor(1), interceptors=[_Gate(self.limits)], options=self._get_options()
        )
        add_GRPCInferenceServiceServicer_to_server(
            _Servicer(self._data_plane, self._model_repository_handlers), self._server
        )
        add_ModelRepositoryServiceServicer_to_server(
            ModelRepositoryServicer(self._model_repository_handlers), self._server
        )
        self._server.add_insecure_port(f"{self._settings.host}:{self._settings.grpc_port}")
        return self._server

    def _get_options(self) -> list[tuple[str, Any]]:
        seconds = round(self.limits.body_timeout * 1000)
        return [*super()._get_options(), ("grpc.server_handshake_timeout_ms", max(seconds, 1))]


class _Gate(grpc.aio.ServerInterceptor):  # type: ignore[misc]
    """Every method reads its message itself, as a stream of one: it is not in memory before."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._reading = Turns(_AT_A_TIME, _WAITING)

    async def intercept_service(self, continuation: Any, details: Any) -> Any:
        handler = await continuation(details)
        if handler is None or handler.request_streaming or handler.response_streaming:
            return None  # no model here answers in a stream: UNIMPLEMENTED
        most = self._limits.max_bytes if details.method == _INFER else SMALL

        async def answer(_: Any, context: Any) -> Any:
            try:
                message = b"" if details.method in _NO_CONTENT else await self._read(context, most)
            except RequestError as error:
                await _abort(context, error)
            try:
                request = handler.request_deserializer(message)
            except Exception:  # protobuf's DecodeError differs between its implementations
                await _abort(context, RequestError("the message is none of this method"))
            answering = handler.unary_unary(request, context)
            del message, request  # large, and not needed until the answer is there
            return await answering

        return grpc.stream_unary_rpc_method_handler(answer, None, handler.response_serializer)

    async def _read(self, context: Any, most: int) -> bytes:
        seconds = self._limits.body_timeout
        async with self._reading.take(1):
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


class _Servicer(InferenceServicer):
    async def ModelInfer(self, request: Any, context: Any) -> Any:  # noqa: N802
        answering = self._infer(request)
        del request
        try:
            return await answering
        except RequestError as error:
            await _abort(context, error)
        except MLServerError as error:
            await _abort(context, RequestError(str(error), error.status_code))

    async def _infer(self, request: Any) -> Any:
        version = request.model_version or None
        runtime: Runtime = await self._data_plane._model_registry.get_model(request.model_name, version)
        admission, size = runtime.admission, request.ByteSize()
        async with admission.request(), admission.turn(size):
            message = dataplane_pb2.ModelInferResponse(
                id=request.id, model_name=runtime.name, model_version=runtime.version or ""
            )
            typed, tensors = not request.raw_input_contents, tensors_of(request)
            wanted = [output.name for output in request.outputs]
            if not typed:  # the tensors have copies of the bytes
                del request
            answer = await runtime.answer(size, tensors, wanted)
            arguments = (message, runtime.served, answer, typed)
            return await admission.parsed(_bytes(answer), fill_answer, *arguments)


def _bytes(answer: Answer) -> int:
    return sum(array.nbytes for array in answer.values())


async def _abort(context: Any, error: RequestError) -> None:
    await context.abort(_CODES.get(error.status, grpc.StatusCode.INVALID_ARGUMENT), str(error))
