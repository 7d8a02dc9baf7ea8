"""Bodies on their way in, and work that leaves the event loop."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import numpy as np
import pytest

from ort_rrelu.serving import RequestError
from ort_rrelu.serving.admission import SMALL, Admission, Disconnected
from ort_rrelu.serving.image_guard import ImageFile
from ort_rrelu.serving.limits import Limits
from ort_rrelu.serving.model import Unpacked

Receive = Callable[[], Awaitable[dict[str, Any]]]
LIMITS = Limits(max_bytes=2**20, body_timeout=0.2, max_pixels=100)


class Model:
    """What Admission asks of a model; it notes the threads that do the work."""

    limits = LIMITS
    outputs = ()

    def __init__(self) -> None:
        self.threads: dict[str, int] = {}

    def unpacked(self, tensors: list[Any]) -> Unpacked:
        self.threads["unpacked"] = threading.get_ident()
        return Unpacked({}, {"image": ImageFile(10, 10, "PNG", b"")})

    def decoded(self, request: Unpacked) -> dict[str, Any]:
        self.threads["decoded"] = threading.get_ident()
        return {"image": np.zeros(1, np.uint8)}


def admission(model: Model | None = None, **options: bool) -> Admission:
    return Admission(model or Model(), **options)  # type: ignore[arg-type]


def receiver(*chunks: bytes, last: str = "end") -> Receive:
    """A client that sends the chunks, and then ends, disconnects or says nothing more."""
    messages = [{"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks]
    if last == "end":
        messages.append({"type": "http.request", "body": b""})
    if last == "disconnect":
        messages.append({"type": "http.disconnect"})

    async def receive() -> dict[str, Any]:
        if not messages:
            await asyncio.Event().wait()
        return messages.pop(0)

    return receive


async def body(receive: Receive, *headers: tuple[bytes, bytes]) -> bytes:
    async with admission().body(headers, receive) as found:
        return bytes(found)


def test_body() -> None:
    assert asyncio.run(body(receiver(b"ab", b"c"))) == b"abc"


@pytest.mark.parametrize(
    ("receive", "headers", "status"),
    [
        (receiver(b"a", last="silence"), [], 408),
        (receiver(b"a" * 2**20, b"b"), [], 413),
        (receiver(b"a" * 2**20, b"b"), [(b"content-length", b"1048577")], 413),
        (receiver(b"a"), [(b"content-encoding", b"gzip")], 415),
    ],
)
def test_body_refused(receive: Receive, headers: list[tuple[bytes, bytes]], status: int) -> None:
    with pytest.raises(RequestError) as caught:
        asyncio.run(body(receive, *headers))
    assert caught.value.status == status


def test_client_that_has_gone() -> None:
    with pytest.raises(Disconnected):
        asyncio.run(body(receiver(b"a", last="disconnect")))


@pytest.mark.parametrize("waits", [True, False])
def test_large_bodies_take_turns(waits: bool) -> None:
    """Together they have at most max_bytes; small ones pass."""
    large = ((b"content-length", b"%d" % (2**20)),)

    async def run() -> None:
        desk = admission(bodies_wait=waits)
        async with desk.body(large, receiver(b"a" * 2**20)):
            async with desk.body([(b"content-length", b"%d" % SMALL)], receiver(b"a" * SMALL)) as small:
                assert len(small) == SMALL
            with pytest.raises(RequestError) as caught:
                async with desk.body(large, receiver(b"a")):
                    pass
            assert caught.value.status == 503
        async with desk.body(large, receiver(b"a" * 2**20)) as later:
            assert len(later) == 2**20

    asyncio.run(run())


def test_too_many_requests() -> None:
    async def run() -> None:
        desk = admission()
        async with AsyncExitStack() as stack:
            for _ in range(LIMITS.max_requests):
                await stack.enter_async_context(desk.request())
            with pytest.raises(RequestError) as caught:
                await stack.enter_async_context(desk.request())
            assert caught.value.status == 503

    asyncio.run(run())


def test_images_and_large_bodies_leave_the_event_loop() -> None:
    async def run() -> None:
        model, here = Model(), threading.get_ident()
        desk, tensors = admission(model), [object()]
        async with desk.arrays(SMALL, tensors):  # type: ignore[arg-type]
            assert model.threads["unpacked"] == here
            assert model.threads["decoded"] != here
            assert tensors == []
        async with desk.arrays(SMALL + 1, []):
            assert model.threads["unpacked"] != here
        text = json.dumps({"inputs": [], "more": "a" * SMALL}).encode()
        assert await desk.parsed(len(text), threading.get_ident) != here

    asyncio.run(run())


def test_images_take_turns_by_their_pixels() -> None:
    """One of 100 pixels fills a server of 100: the next one waits until the first is answered."""

    async def run() -> None:
        desk, order = admission(), []

        async def ask(name: str) -> None:
            async with desk.arrays(0, []):
                order.append(f"{name} in")
                await asyncio.sleep(0.05)
                order.append(f"{name} out")

        await asyncio.gather(*map(ask, "abc"))
        assert order == ["a in", "a out", "b in", "b out", "c in", "c out"]

    asyncio.run(run())
