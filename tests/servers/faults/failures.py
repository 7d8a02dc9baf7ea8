"""What fails while the load goes on: each takes some seconds and returns what it saw."""

from __future__ import annotations

import random
import socket
import struct
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial

import grpc

from tests.servers.clients import Endpoint
from tests.servers.faults.heavy import request

_CLIENTS = 16
_INFER = "/inference.GRPCInferenceService/ModelInfer"
_RESET = struct.pack("ii", 1, 0)  # closed without a word

Outcomes = Counter[str]
Failure = Callable[[Endpoint, float], Outcomes]


def nothing(endpoint: Endpoint, seconds: float) -> Outcomes:
    """The load alone."""
    time.sleep(seconds)
    return Counter()


def slow_clients(endpoint: Endpoint, seconds: float) -> Outcomes:
    """HTTP requests that come byte by byte, and gRPC calls whose message does not come."""
    end = time.monotonic() + seconds
    act = [partial(_dribble, endpoint, end)] * _CLIENTS + [partial(_stopped_call, endpoint, end)] * 4
    return _together(act)


def _together(acts: Sequence[Callable[[], Outcomes]]) -> Outcomes:
    with ThreadPoolExecutor(len(acts)) as pool:
        return sum(pool.map(lambda act: act(), acts), Counter())


def _connected(endpoint: Endpoint) -> socket.socket:
    host, port = endpoint.http.split(":")
    return socket.create_connection((host, int(port)), 60)


def _dribble(endpoint: Endpoint, end: float) -> Outcomes:
    """A byte each tenth of a second, until the server has enough of it."""
    seen: Outcomes = Counter()
    while time.monotonic() < end:
        try:
            with _connected(endpoint) as connection:
                connection.settimeout(0.1)
                seen[_dribbled(connection, end)] += 1
        except OSError:
            seen["connection closed"] += 1
    return seen


def _dribbled(connection: socket.socket, end: float) -> str:
    for byte in request(0):
        connection.sendall(bytes([byte]))
        with suppress(TimeoutError):
            answer = connection.recv(2**16)
            return answer[9:12].decode() or "connection closed"
        if time.monotonic() > end:
            return "left by the client"
    return "sent"


def _stopped_call(endpoint: Endpoint, end: float) -> Outcomes:
    seen: Outcomes = Counter()
    with grpc.insecure_channel(endpoint.grpc, [("grpc.use_local_subchannel_pool", 1)]) as channel:
        call = channel.stream_unary(_INFER)
        while (left := end - time.monotonic()) > 0:
            try:
                call(_nothing_for(left), timeout=left + 30)
            except grpc.RpcError as error:
                seen[f"gRPC {error.code().name}"] += 1
    return seen


def _nothing_for(seconds: float) -> Iterator[bytes]:
    time.sleep(seconds)
    yield from ()


def dropped_connections(endpoint: Endpoint, seconds: float) -> Outcomes:
    """Connections that break within a request, before its answer, and within it; calls that are cancelled."""
    end = time.monotonic() + seconds
    acts = [partial(_drop, endpoint, end, i) for i in range(_CLIENTS)]
    return _together([*acts, *[partial(_cancel, endpoint, end, i) for i in range(4)]])


def _drop(endpoint: Endpoint, end: float, index: int) -> Outcomes:
    seen: Outcomes = Counter()
    rng = random.Random(index)
    while time.monotonic() < end:
        sent = request(0)
        whole = rng.random() < 0.7
        part = sent if whole else sent[: rng.randrange(len(sent))]
        with suppress(OSError), _connected(endpoint) as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            connection.sendall(part)
            time.sleep(rng.uniform(0, 0.1))
        seen["after a whole request" if whole else "within a request"] += 1
    return seen


def _cancel(endpoint: Endpoint, end: float, index: int) -> Outcomes:
    seen: Outcomes = Counter()
    rng = random.Random(index)
    with grpc.insecure_channel(endpoint.grpc, [("grpc.use_local_subchannel_pool", 1)]) as channel:
        call = channel.stream_unary(_INFER)
        while time.monotonic() < end:
            future = call.future(iter([bytes(100)] if rng.random() < 0.5 else []))
            time.sleep(rng.uniform(0, 0.02))
            future.cancel()
            seen["gRPC cancelled"] += 1
    return seen


def bad_requests(endpoint: Endpoint, seconds: float) -> Outcomes:
    """What makes a server write into its log."""
    end = time.monotonic() + seconds
    seen: Outcomes = Counter()
    sent = [b"no HTTP\r\n\r\n", request(0).replace(b"FP32", b"FP31"), request(0).replace(b"heavy", b"other")]
    while time.monotonic() < end:
        for each in sent:
            with suppress(OSError), _connected(endpoint) as connection:
                connection.sendall(each)
                seen[connection.recv(2**16)[9:12].decode() or "connection closed"] += 1
        time.sleep(0.01)
    return seen
