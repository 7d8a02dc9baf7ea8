"""How requests come in: bodies with bounds on size and time, and a bounded amount of work at a time."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, MutableMapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Any

from ort_rrelu.arguments import Array
from ort_rrelu.serving.errors import RequestError
from ort_rrelu.serving.http_protocol import HEADER_LENGTH, InferRequest, decode, encode
from ort_rrelu.serving.model import ServedModel
from ort_rrelu.serving.requests import Answer, Tensor

SMALL = 2**16  # bytes that a connection may hold without a turn, and that cost the event loop a moment


_SMALL_VALUES = 2**14


_COPIES = 4  # of a message of gRPC, about, until its answer is sent


_WAITING = 64


Message = MutableMapping[str, Any]


Receive = Callable[[], Awaitable[Message]]


Headers = Iterable[tuple[bytes, bytes]]


class Disconnected(Exception):  # noqa: N818
    """The client has gone before its body was here: nobody reads an answer."""


class Admission:
    """The requests of one model in one process, of one event loop.

    Bodies and messages above 64 KiB take turns: together they have at most limits.max_bytes. So do images:
    together at most limits.max_pixels, from decoding to the answer. What finds too many waiting before it is
    refused with 503.

    bodies_wait: whether a body can wait for its turn; without it, it is refused, for servers that have it in
    memory all the same.
    """

    def __init__(self, served: ServedModel, *, bodies_wait: bool = True) -> None:
        self._served = served
        self._limits = served.limits
        self._bodies = Turns(self._limits.max_bytes, _WAITING if bodies_wait else 0)
        self._images = Turns(self._limits.max_pixels, _WAITING)
        self._parsing = Turns(1, _WAITING)  # it holds the interpreter's lock: one at a time
        self._requests = Turns(self._limits.max_requests, 0)

    @asynccontextmanager
    async def request(self) -> AsyncIterator[None]:
        """The whole life of a request. Raises RequestError, 503, when there are too many."""
        async with self._requests.take(1):
            yield

    @asynccontextmanager
    async def body(self, headers: Headers, receive: Receive) -> AsyncIterator[bytearray]:
        """Read a request's body, and keep its turn until the answer is made.

        What is too large is read to its end and dropped, so that the client is there to read the answer.
        Raises RequestError: 408 when it takes too long, 413 when it is too large, 415 for a compressed one,
        which would grow beyond any limit on its way in; and Disconnected.
        """
        length = _checked_length(headers)
        async with self.turn(length):
            yield await read_body(receive, self._limits.max_bytes, self._limits.body_timeout)

    @asynccontextmanager
    async def turn(self, size: int | None) -> AsyncIterator[None]:
        """A turn for a body or message of that many bytes, None when they are not known before."""
        async with AsyncExitStack() as stack:
            if size is None or SMALL < size <= self._limits.max_bytes:
                try:
                    async with asyncio.timeout(self._limits.body_timeout):
                        await stack.enter_async_context(self._bodies.take(size or self._limits.max_bytes))
                except TimeoutError as error:
                    raise RequestError(
                        "the server is busy with large requests: ask again later", 503
                    ) from error
            yield

    def message_turn(self, size: int) -> AbstractAsyncContextManager[None]:
        """A turn for a message of gRPC of that many bytes, which is in memory already."""
        return self.turn(min(_COPIES * size, self._limits.max_bytes))

    async def decoded(self, body: bytes | bytearray, headers: Headers) -> InferRequest:
        """The request of an HTTP body. Raises RequestError."""
        length = next((value.decode("latin-1") for name, value in headers if name == _HEADER_LENGTH), None)
        arguments = (body, length, self._served.outputs, self._limits)
        request: InferRequest = await self.parsed(len(body), decode, *arguments)
        return request

    async def parsed(self, size: int, function: Callable[..., Any], *arguments: Any) -> Any:
        """What the function makes of a request of that many bytes: large ones in a thread, one at a time."""
        if size <= SMALL:
            return function(*arguments)
        async with self._parsing.take(1):
            return await asyncio.to_thread(function, *arguments)

    @asynccontextmanager
    async def arrays(self, size: int, tensors: list[Tensor]) -> AsyncIterator[dict[str, Array]]:
        """The arrays of a request of that many bytes, while its answer is made. Raises RequestError.

        The list is emptied: what the tensors came as may be large, and is not needed then.
        """
        unpacked = await self.parsed(size, self._served.unpacked, tensors)
        tensors.clear()
        if not unpacked.images:
            yield unpacked.arrays
            return
        async with self._images.take(unpacked.pixels):
            arrays = await asyncio.to_thread(self._served.decoded, unpacked)
            del unpacked
            yield arrays

    async def encoded(
        self, name: str, version: str | None, request: InferRequest, answer: Answer
    ) -> tuple[dict[str, str], bytes]:
        """Headers and body of an answer over HTTP."""
        size = sum(array.size for array in answer.values())
        arguments = (name, version, request, self._served.outputs, answer)
        if size <= _SMALL_VALUES:
            return encode(*arguments)
        return await asyncio.to_thread(encode, *arguments)


_HEADER_LENGTH = HEADER_LENGTH.encode()


def _checked_length(headers: Headers) -> int | None:
    """What Content-Length says, None when there is none. Raises RequestError for a compressed body."""
    found = dict(headers)
    encoding = found.get(b"content-encoding", b"identity")
    if encoding != b"identity":
        raise RequestError("content-encoding: send the body uncompressed", 415)
    length = found.get(b"content-length", b"")
    return int(length) if length.isdigit() and len(length) < 19 else None


async def read_body(receive: Receive, most: int, seconds: float) -> bytearray:
    """A body of at most that many bytes. Raises RequestError, 408 or 413, and Disconnected."""
    body, size = bytearray(), 0
    try:
        async with asyncio.timeout(seconds):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise Disconnected
                body += message.get("body", b"")
                size += len(message.get("body", b""))
                if size > most:
                    body.clear()
                if not message.get("more_body"):
                    break
    except TimeoutError as error:
        raise RequestError(f"the body did not come within {seconds:g} seconds", 408) from error
    if size > most:
        raise RequestError(f"the body has {size} bytes: at most {most}", 413)
    return body


class Turns:
    """Work of one event loop, weighed: at most `total` at a time, at most `waiting` pieces that wait."""

    def __init__(self, total: int, waiting: int) -> None:
        self._total = total
        self._waiting = waiting
        self._used = 0
        self._queue: deque[tuple[int, asyncio.Future[None]]] = deque()

    @asynccontextmanager
    async def take(self, amount: int) -> AsyncIterator[None]:
        """Wait for a turn; what is more than the total goes alone. Raises RequestError: too many wait."""
        amount = min(amount, self._total)
        await self._enter(amount)
        try:
            yield
        finally:
            self._leave(amount)

    async def _enter(self, amount: int) -> None:
        if not self._queue and self._used + amount <= self._total:
            self._used += amount
            return
        if len(self._queue) >= self._waiting:
            raise RequestError("the server is busy: ask again later", 503)
        granted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.append((amount, granted))
        try:
            await granted
        except asyncio.CancelledError:
            if granted.cancelled():  # it still waits in the queue, perhaps before one that could go
                self._admit()
            else:
                self._leave(amount)
            raise

    def _leave(self, amount: int) -> None:
        self._used -= amount
        self._admit()

    def _admit(self) -> None:
        while self._queue:
            amount, granted = self._queue[0]
            if not granted.cancelled():
                if self._used + amount > self._total:
                    return
                self._used += amount
                granted.set_result(None)
            self._queue.popleft()
