"""What stands before MLServer's HTTP: inference without its event loop, and bounded connections.

MLServer would read any body whole, in its event loop. What is no inference goes on to it: health, metadata,
the index of models. uvicorn itself waits for ever for the end of a half-sent header, and answers 503 to
everybody, health checks too, when its limit_concurrency is reached.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Awaitable, Callable
from typing import Any

from mlserver.errors import MLServerError
from uvicorn.protocols.http.auto import AutoHTTPProtocol

from ort_rrelu.serving.admission import SMALL, Disconnected, Headers, Receive, read_body
from ort_rrelu.serving.errors import RequestError
from ort_rrelu.serving.limits import Limits
from ort_rrelu.serving.mlserver import Runtime

_PATH = re.compile(
    r"/v2/models/([^/]+)(?:/versions/([^/]+))?/(infer|generate|infer_stream|generate_stream)/?"
)
_FindModel = Callable[[str, str | None], Awaitable[Runtime]]


class Inference:
    """ASGI middleware: answers inference itself, and reads small bodies for everything else.

    find: name and version -> the runtime; it raises MLServerError.
    """

    def __init__(self, app: Any, find: _FindModel, body_timeout: float) -> None:
        self._app = app
        self._find = find
        self._body_timeout = body_timeout

    async def __call__(self, scope: Any, receive: Receive, send: Any) -> None:
        """Answer, or pass the request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path = _PATH.fullmatch(scope["path"])
        try:
            if path is None or scope["method"] != "POST":
                await self._pass_on(scope, receive, send)
            elif path[3] in ("infer", "generate"):
                await self._infer(path[1], path[2], scope["headers"], receive, send)
            else:
                await _refuse(send, 404, f"{path[3]}: a model here gives one answer, ask for it with infer")
        except Disconnected:
            return
        except RequestError as error:
            await _refuse(send, error.status, str(error))
        except MLServerError as error:
            await _refuse(send, error.status_code, str(RequestError(str(error))))

    async def _pass_on(self, scope: Any, receive: Receive, send: Any) -> None:
        names = {name for name, _ in scope["headers"]}
        if names.isdisjoint({b"content-length", b"transfer-encoding"}):
            await self._app(scope, receive, send)
            return
        if b"content-encoding" in names:
            raise RequestError("content-encoding: send the body uncompressed", 415)
        body = await read_body(receive, SMALL, self._body_timeout)
        await self._app(scope, _replay(bytes(body), receive), send)

    async def _infer(
        self, name: str, version: str | None, headers: Headers, receive: Receive, send: Any
    ) -> None:
        runtime = await self._find(name, version)
        admission = runtime.admission
        async with admission.request(), admission.body(headers, receive) as body:
            size = len(body)
            request = await admission.decoded(body, headers)
            del body
            answer = await runtime.answer(size, request.tensors, request.outputs)
            found, content = await admission.encoded(runtime.name, request, answer)
        await _send(send, 200, found, content)


def _replay(body: bytes, receive: Receive) -> Receive:
    messages = [{"type": "http.request", "body": body, "more_body": False}]

    async def _receive() -> Any:
        return messages.pop() if messages else await receive()

    return _receive


async def _refuse(send: Any, status: int, reason: str) -> None:
    headers = {"content-type": "application/json"}
    if status == 408:  # the rest of the body may still come
        headers["connection"] = "close"
    if status == 503:
        headers["retry-after"] = "1"
    await _send(send, status, headers, json.dumps({"error": reason}).encode())


async def _send(send: Any, status: int, headers: dict[str, str], body: bytes) -> None:
    encoded = [(name.encode(), value.encode()) for name, value in headers.items()]
    encoded.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": status, "headers": encoded})
    await send({"type": "http.response.body", "body": body})


_REFUSED = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


def bounded_protocol(limits: Limits) -> type[asyncio.Protocol]:
    """uvicorn's protocol with at most limits.max_connections of them.

    One more takes the place of the one that has waited for a request for the longest time; it is refused when
    all wait for answers. A request's header may take limits.body_timeout seconds, and so may an answer that
    its client does not read.
    """

    class BoundedProtocol(AutoHTTPProtocol):  # type: ignore[misc, valid-type]
        _since = 0.0
        _timer: asyncio.TimerHandle | None = None
        _unsent = 0

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            if len(self.connections) > limits.max_connections and not self._make_room():
                transport.write(_REFUSED)
                transport.close()
            self._wait()

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            if self._is_answering() and self._timer is not None:
                self._timer.cancel()
                self._timer = None

        def on_response_complete(self) -> None:
            super().on_response_complete()
            if not self._is_answering():
                self._wait()

        def connection_lost(self, exc: Exception | None) -> None:
            if self._timer is not None:
                self._timer.cancel()
            super().connection_lost(exc)

        def _is_answering(self) -> bool:
            return self.cycle is not None and not self.cycle.response_complete

        def _make_room(self) -> bool:
            waiting = [c for c in self.connections if c is not self and not c._is_answering()]
            if not waiting:
                return False
            min(waiting, key=lambda c: c._since).transport.abort()
            return True

        def _wait(self) -> None:
            if self._timer is not None:
                self._timer.cancel()
            self._since = time.monotonic()
            self._unsent = self.transport.get_write_buffer_size()
            self._timer = self.loop.call_later(limits.body_timeout, self._end)

        def _end(self) -> None:
            self._timer = None
            if 0 < self.transport.get_write_buffer_size() < self._unsent:  # its client reads, but slowly
                self._wait()
            else:
                self.transport.abort()

    return BoundedProtocol
