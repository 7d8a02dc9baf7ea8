"""Clients that ask a server without a pause, and what they saw."""

from __future__ import annotations

import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from threading import Barrier

import numpy as np

from ort_rrelu.arguments import Array
from tests.servers.clients import Client, Endpoint


def ask(
    endpoint: Endpoint, feeds: Mapping[str, tuple[str, Array]], clients: int, seconds: float
) -> list[float]:
    """Milliseconds of each request of all clients, over gRPC. feeds: name -> (datatype, array)."""
    request = dict(feeds)
    barrier = Barrier(clients)

    def one(_: int) -> list[float]:
        taken = []
        with closing(Client(endpoint, "grpc")) as client:
            client.infer(request)
            barrier.wait(60)
            end = time.perf_counter() + seconds
            while (began := time.perf_counter()) < end:
                client.infer(request)
                taken.append((time.perf_counter() - began) * 1e3)
        return taken

    with ThreadPoolExecutor(clients) as pool:
        return [value for values in pool.map(one, range(clients)) for value in values]


def row(values: list[float], seconds: float) -> dict[str, float]:
    """Throughput and latencies."""
    return {
        "requests_a_second": round(len(values) / seconds, 1),
        "p50_ms": round(float(np.percentile(values, 50)), 2),
        "p99_ms": round(float(np.percentile(values, 99)), 2),
    }
