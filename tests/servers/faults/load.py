"""Clients that ask at a rate, whether they are answered or not, or as fast as they are answered."""

from __future__ import annotations

import asyncio
import multiprocessing
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tests.servers.faults.heavy import is_right, request

_STEPS = 64  # whose answers are known
_LATE = 60  # seconds: several times as long as any request may wait


@dataclass
class Seen:
    """What became of requests, and the milliseconds until an answer."""

    outcomes: Counter[str] = field(default_factory=Counter)
    taken: list[float] = field(default_factory=list)

    def percentile(self, percent: float) -> float:
        """Of the milliseconds."""
        return round(float(np.percentile(self.taken, percent)), 1) if self.taken else 0.0


async def _ask(address: str, step: int, seen: Seen) -> None:
    host, port = address.split(":")
    began = time.perf_counter()
    try:
        async with asyncio.timeout(_LATE):
            try:
                reader, writer = await asyncio.open_connection(host, int(port))
            except OSError:
                seen.outcomes["not connected"] += 1
                return
            try:
                writer.write(request(step))
                answer = await reader.read(-1)
            finally:
                writer.close()
    except TimeoutError:
        seen.outcomes["no answer"] += 1
        return
    except OSError:
        seen.outcomes["connection closed"] += 1
        return
    head, _, body = answer.partition(b"\r\n\r\n")
    status = head[9:12].decode() or "connection closed"
    if status == "200":
        status = "right" if is_right(body, step) else "wrong"
        seen.taken.append((time.perf_counter() - began) * 1e3)
    seen.outcomes[status] += 1


async def _at_rate(address: str, rate: float, end: Any, seen: Seen) -> None:
    begin, asked = time.perf_counter(), 0
    tasks = set()
    while not end.is_set():
        while asked < (time.perf_counter() - begin) * rate:
            task = asyncio.create_task(_ask(address, asked % _STEPS, seen))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
            asked += 1
        await asyncio.sleep(0.002)
    await asyncio.gather(*tasks)


def _load(address: str, rate: float, begun: Any, end: Any, results: Any) -> None:
    seen = Seen()
    begun.set()
    asyncio.run(_at_rate(address, rate, end, seen))
    results.put(seen)


@contextmanager
def load(address: str, rate: float) -> Iterator[Seen]:
    """Requests a second from a process of its own; what became of all of them is there in the end."""
    context = multiprocessing.get_context("spawn")
    begun, end, results = context.Event(), context.Event(), context.Queue()
    process = context.Process(target=_load, args=(address, rate, begun, end, results))
    process.start()
    seen = Seen()
    try:
        assert begun.wait(_LATE)
        yield seen
        end.set()
        found = results.get(timeout=2 * _LATE)
        seen.outcomes, seen.taken = found.outcomes, found.taken
    finally:
        end.set()
        process.join(_LATE)


def throughput(address: str, clients: int, seconds: float) -> float:
    """Right answers a second, to clients that ask again when they are answered."""

    async def client(index: int, seen: Seen, end: float) -> None:
        while time.perf_counter() < end:
            await _ask(address, index, seen)

    async def all_clients(seen: Seen) -> None:
        end = time.perf_counter() + seconds
        await asyncio.gather(*(client(index, seen, end) for index in range(clients)))

    seen = Seen()
    asyncio.run(all_clients(seen))
    assert set(seen.outcomes) == {"right"}, seen.outcomes
    return seen.outcomes["right"] / seconds
