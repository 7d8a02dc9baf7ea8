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
            found, content = await admission.encoded(runtime.name, runtime.version, request, answer)
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


_REFUSED = (
    b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\nconnection: close\r\nretry-after: 1\r\n\r\n"
)
_LINGER = 1.0  # seconds that a refused client has to read so
_LINGERING = 512  # clients at a time; with the default of connections, less than the 1024 files of a process


def bounded_protocol(limits: Limits) -> type[asyncio.Protocol]:
    """uvicorn's protocol with at most limits.max_connections of them.

    One more takes the place of the one that has waited for a request for the longest time, or is refused when
    all wait for answers. Who is refused gets 503, and a second to read it. A request's header may
    take limits.body_timeout seconds, and so may an answer that its client does not read.
    """

    class BoundedProtocol(AutoHTTPProtocol):  # type: ignore[misc, valid-type]
        _since = 0.0
        _timer: asyncio.TimerHandle | None = None
        _unsent = 0
        _is_refused = False

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            taken = [c for c in self.connections if not (c._is_refused or c._is_gone())]
            if len(taken) > limits.max_connections:
                waiting = [c for c in taken if c is not self and c._is_waiting()]
                min(waiting, key=lambda c: c._since, default=self)._refuse()
            if not self._is_refused:
                self._wait()

        def data_received(self, data: bytes) -> None:
            if self._is_refused:
                return
            super().data_received(data)
            if self._is_answering():
                self._stop_timer()

        def on_response_complete(self) -> None:
            super().on_response_complete()
            if not self._is_answering():
                self._wait()

        def connection_lost(self, exc: Exception | None) -> None:
            self._stop_timer()
            super().connection_lost(exc)

        def _is_answering(self) -> bool:
            return self.cycle is not None and not self.cycle.response_complete

        def _is_gone(self) -> bool:
            """Closed, and uvicorn is about to hear of it."""
            return self.transport.is_closing() and not self.transport.get_write_buffer_size()

        def _is_waiting(self) -> bool:
            """For a request, or for a client to read the last answer."""
            sending = self.transport.is_closing() and time.monotonic() < self._since + _LINGER
            return not (sending or self._is_answering())

        def _refuse(self) -> None:
            """Answer, and leave it to the client to close: else the system resets what has unread bytes."""
            self._is_refused = True
            self._stop_timer()
            many = sum(c._is_refused for c in self.connections) > _LINGERING
            if many or self.transport.is_closing() or not self.transport.can_write_eof():
                self.transport.abort()
                return
            self.transport.write(_REFUSED)
            self.transport.write_eof()
            self._timer = self.loop.call_later(_LINGER, self.transport.abort)

        def _stop_timer(self) -> None:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None

        def _wait(self) -> None:
            self._stop_timer()
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
