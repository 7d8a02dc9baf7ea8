"""An application for Ray Serve: replicas of a model behind the Open Inference Protocol, over HTTP and gRPC.

In Serve's configuration: "import_path: ort_rrelu.serving.ray:app" with "args: {model: /net.onnx}"; for gRPC
"grpc_servicer_functions" with add_GRPCInferenceServiceServicer_to_server of ort_rrelu.serving.grpc_protocol.
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import grpc
from pydantic import BaseModel, ConfigDict
from ray import serve
from ray.serve.grpc_util import RayServegRPCContext
from starlette.requests import Request
from starlette.responses import Response
from tritonclient.grpc import service_pb2

import ort_rrelu
from ort_rrelu.arguments import Array
from ort_rrelu.serving import grpc_messages, grpc_protocol, http_protocol
from ort_rrelu.serving.admission import Admission, Disconnected
from ort_rrelu.serving.errors import RequestError, check_name, shown
from ort_rrelu.serving.limits import Limits
from ort_rrelu.serving.model import ServedModel, return_large_blocks
from ort_rrelu.serving.requests import Answer, Tensor

_GRPC_CODES = {
    404: grpc.StatusCode.NOT_FOUND,
    413: grpc.StatusCode.RESOURCE_EXHAUSTED,
    503: grpc.StatusCode.UNAVAILABLE,
}


# Of a replica, health checks among them: Admission leaves these some.
_ONGOING = 256


class Arguments(BaseModel):
    """The application's `args`: those of ServedModel, and more.

    name: the model's in the protocol, its file's name by default. max_batch_size: requests of one run;
    max_batch_time: seconds that a request waits for others. Both count only where the model may batch.
    max_bytes, max_values, max_rows, max_pixels, max_side, body_timeout: as in Limits.
    """

    model_config = ConfigDict(extra="forbid")

    model: str
    name: str = ""
    max_batch_size: int = 32
    max_batch_time: float = 0.002
    max_bytes: int = Limits.max_bytes
    max_values: int = Limits.max_values
    max_rows: int = Limits.max_rows
    max_pixels: int = Limits.max_pixels
    max_side: int = Limits.max_side
    body_timeout: float = Limits.body_timeout
    seed: int | None = None
    threads: int | None = None
    providers: list[str] | None = None

    def limits(self) -> Limits:
        """Those of the arguments. Raises InvalidValueError."""
        return Limits(
            max_bytes=self.max_bytes,
            max_values=self.max_values,
            max_rows=self.max_rows,
            max_pixels=self.max_pixels,
            max_side=self.max_side,
            max_connections=_ONGOING,
            body_timeout=self.body_timeout,
        )


@serve.deployment(max_ongoing_requests=_ONGOING)
class Served:
    """One replica: a session, and the protocol's routes."""

    def __init__(self, arguments: Arguments) -> None:
        self._name = check_name(arguments.name or Path(arguments.model).stem)
        self._served = ServedModel(
            arguments.model,
            seed=arguments.seed,
            threads=arguments.threads,
            providers=arguments.providers,
            limits=arguments.limits(),
        )
        return_large_blocks()
        self._admission = Admission(self._served, bodies_wait=False)  # Serve fetches them at once
        self._batches = self._served.batches and arguments.max_batch_size > 1
        self._together.set_max_batch_size(arguments.max_batch_size)
        self._together.set_batch_wait_timeout_s(arguments.max_batch_time)

    @serve.batch(max_batch_size=1, max_concurrent_batches=2)
    async def _together(self, requests: list[dict[str, Array]]) -> list[Answer]:
        return await asyncio.to_thread(self._served.run_together, requests)

    async def _answer(self, size: int, tensors: list[Tensor], wanted: list[str]) -> Answer:
        names = self._served.names(wanted)
        async with self._admission.arrays(size, tensors) as arrays:
            answer = await self._run(arrays)
        return {name: answer[name] for name in names}

    async def _run(self, arrays: dict[str, Array]) -> Answer:
        if self._batches:
            try:
                answer: Answer = await self._together(arrays)
            except RequestError:  # a value that only a kernel can refuse, perhaps a neighbour's
                pass
            else:
                return answer
        return await asyncio.to_thread(self._served.run, arrays)

    async def __call__(self, request: Request) -> Response:
        """The protocol over HTTP."""
        try:
            return await self._route(request)
        except Disconnected:
            return Response(status_code=499)  # nobody reads it
        except RequestError as error:
            return _json({"error": str(error)}, error.status)

    async def _route(self, request: Request) -> Response:
        # The application's route prefix is before the protocol's path.
        path = request.scope["path"].removeprefix(request.scope.get("root_path", ""))
        match [request.method, *path.strip("/").split("/")]:
            case ["GET", "v2"]:
                return _json(_server())
            case ["GET", "v2", "health", "live" | "ready"]:
                return Response()
            case [method, "v2", "models", name, *rest]:
                rest = rest[2:] if rest[:2] == ["versions", http_protocol.VERSION] else rest
                self._check_name(name)
                match [method, *rest]:
                    case ["GET"]:
                        return _json(http_protocol.metadata(name, self._served.inputs, self._served.outputs))
                    case ["GET", "ready"]:
                        return Response()
                    case ["POST", "infer"]:
                        return await self._infer(request)
        raise RequestError(f"there is no {request.method} {shown(path)}", 404)

    async def _infer(self, request: Request) -> Response:
        admission, headers = self._admission, request.scope["headers"]
        async with admission.request(), admission.body(headers, request.receive) as body:
            size = len(body)
            decoded = await admission.decoded(body, headers)
            del body
            answer = await self._answer(size, decoded.tensors, decoded.outputs)
            found, content = await admission.encoded(self._name, http_protocol.VERSION, decoded, answer)
        return Response(content, headers=found)

    def _check_name(self, name: str) -> None:
        if name != self._name:
            raise RequestError(
                f'there is no model "{shown(name)}": this application serves "{self._name}"', 404
            )

    async def ModelInfer(self, request: Any, grpc_context: RayServegRPCContext) -> Any:  # noqa: N802
        """The protocol over gRPC; the methods have its names."""
        try:
            self._check_name(request.model_name)
            return await self._infer_message(request)
        except RequestError as error:
            grpc_context.set_code(_GRPC_CODES.get(error.status, grpc.StatusCode.INVALID_ARGUMENT))
            grpc_context.set_details(str(error))
            raise

    async def _infer_message(self, request: Any) -> Any:
        size, most = request.ByteSize(), self._served.limits.max_bytes
        if size > most:
            raise RequestError(f"the request has {size} bytes: at most {most}", 413)
        async with self._admission.request(), self._admission.message_turn(size):
            tensors = grpc_messages.tensors_of(request)
            answer = await self._answer(size, tensors, [output.name for output in request.outputs])
            message = service_pb2.ModelInferResponse(
                id=request.id, model_name=self._name, model_version=http_protocol.VERSION
            )
            return await self._admission.parsed(
                sum(array.nbytes for array in answer.values()),
                *(grpc_messages.fill_answer, message, self._served, answer, False),
            )

    async def ModelMetadata(self, request: Any, grpc_context: RayServegRPCContext) -> Any:  # noqa: N802
        """Names, datatypes and shapes."""
        try:
            self._check_name(request.name)
        except RequestError as error:
            grpc_context.set_code(grpc.StatusCode.NOT_FOUND)
            grpc_context.set_details(str(error))
            raise
        return grpc_protocol.metadata_message(self._name, self._served)

    async def ModelReady(self, request: Any) -> Any:  # noqa: N802
        """Whether the model of that name is served."""
        return service_pb2.ModelReadyResponse(ready=request.name == self._name)

    async def ServerLive(self, request: Any) -> Any:  # noqa: N802
        """A replica that answers is alive."""
        return service_pb2.ServerLiveResponse(live=True)

    async def ServerReady(self, request: Any) -> Any:  # noqa: N802
        """A replica that answers is ready."""
        return service_pb2.ServerReadyResponse(ready=True)

    async def ServerMetadata(self, request: Any) -> Any:  # noqa: N802
        """Name and version."""
        return service_pb2.ServerMetadataResponse(**_server())


def _server() -> dict[str, Any]:
    return {"name": "ort-rrelu", "version": ort_rrelu.__version__, "extensions": ["binary_tensor_data"]}


def _json(value: dict[str, Any], status: int = 200) -> Response:
    return Response(json.dumps(value), status, media_type="application/json")


def app(args: dict[str, Any]) -> serve.Application:
    """The application, from the `args` of Serve's configuration file.

    Replicas and their resources are settings of the deployment "Served". Raises ValidationError (a ValueError
    of pydantic's) that names an argument which is misspelt, missing or of a wrong type, and InvalidValueError
    for a limit.
    """
    arguments = Arguments.model_validate(args)
    arguments.limits()
    return Served.bind(arguments)  # type: ignore[attr-defined]
