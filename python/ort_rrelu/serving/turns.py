"""A bounded amount of work at the same time; what comes later waits in order, and not without end."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from ort_rrelu.serving.errors import RequestError

__all__ = ["Turns"]


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
