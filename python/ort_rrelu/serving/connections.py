"""HTTP connections of uvicorn, bounded in number, and in the seconds that they may wait for a request.

uvicorn itself waits for ever for the end of a half-sent header, and answers 503 to everybody, health checks
too, when its limit_concurrency is reached.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

from uvicorn.protocols.http.auto import AutoHTTPProtocol

from ort_rrelu.serving.limits import Limits

__all__ = ["bounded_protocol"]

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
