"""Bodies that are too large are answered with 413, and not kept."""

from __future__ import annotations

import json
from typing import Any

__all__ = ["BodyLimit"]


class BodyLimit:
    """ASGI middleware: at most max_bytes in a request's body, which must not be compressed.

    A compressed body would grow beyond any limit on its way in. What is too large is read to its end and
    dropped, so that the client is there to read the answer.
    """

    def __init__(self, app: Any, max_bytes: int) -> None:
        self._app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Pass the request on, or answer 413 or 415."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        body, size = bytearray(), 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            size += len(message.get("body", b""))
            body += message.get("body", b"") if size <= self._max_bytes else b""
            if not message.get("more_body"):
                break
        encoding = dict(scope["headers"]).get(b"content-encoding", b"identity")
        if encoding != b"identity":
            await _refuse(send, 415, f"content-encoding {encoding!r}: send the body uncompressed")
        elif size > self._max_bytes:
            await _refuse(send, 413, f"the body has {size} bytes: at most {self._max_bytes}")
        else:
            await self._app(scope, _replay(bytes(body), receive), send)


def _replay(body: bytes, receive: Any) -> Any:
    messages = [{"type": "http.request", "body": body, "more_body": False}]

    async def _receive() -> Any:
        return messages.pop() if messages else await receive()

    return _receive


async def _refuse(send: Any, status: int, reason: str) -> None:
    body = json.dumps({"error": reason}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
