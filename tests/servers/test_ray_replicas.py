"""Two replicas share the load; when one is killed, only requests that it held are lost."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass

import numpy as np
from tritonclient.utils import InferenceServerException

import ort_rrelu
from tests.servers.clients import Client
from tests.servers.processes import wait_until
from tests.servers.servers import Served

CLIENTS = 8
ROW = np.ones((1, 8), np.float32)
EXPECTED = ort_rrelu.rrelu(ROW).tobytes()


@dataclass(frozen=True)
class Request:
    """When it began and ended; `error` is None for one that was answered, rightly."""

    began: float
    ended: float
    error: str | None


@contextmanager
def load(served: Served, transport: str) -> Iterator[list[Request]]:
    """Clients that ask without a pause and never retry; their requests are complete after the block."""
    stop = threading.Event()
    requests: list[Request] = []

    def client_loop() -> None:
        with closing(Client(served.endpoints["eval"], transport)) as client:
            while not stop.is_set():
                began, error = time.monotonic(), None
                try:
                    assert client.infer({"x": ("FP32", ROW)})["y"].tobytes() == EXPECTED
                except InferenceServerException as exception:
                    error = str(exception)
                requests.append(Request(began, time.monotonic(), error))

    with ThreadPoolExecutor(CLIENTS) as pool:
        clients = [pool.submit(client_loop) for _ in range(CLIENTS)]
        try:
            yield requests
        finally:
            stop.set()
        for client in clients:
            client.result()


def test_killed_replica_loses_only_what_it_held(served: Served, transport: str) -> None:
    wait_until(lambda: len(served.replicas("eval")) == 2, "two replicas")
    victim = served.replicas("eval")[0]
    with load(served, transport) as requests:
        wait_until(lambda: len(requests) > 20 * CLIENTS, "requests before the kill")
        killed = time.monotonic()
        os.kill(victim, signal.SIGKILL)
        before = len(requests)
        wait_until(lambda: len(requests) > before + 50 * CLIENTS, "requests after the kill")
        wait_until(lambda: len(set(served.replicas("eval")) - {victim}) == 2, "a new replica")
    lost = [request for request in requests if request.error]
    print(f"{transport}: {len(lost)} of {len(requests)} requests lost, {CLIENTS} were under way")
    assert len(lost) <= CLIENTS, lost
    for request in lost:
        assert request.began <= killed <= request.ended, (killed, request)
    answered_after = [r for r in requests if r.began > killed and not r.error]
    assert len(answered_after) > 40 * CLIENTS
