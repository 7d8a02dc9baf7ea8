"""Many requests by several clients at a time, and what the servers are like before and after."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from itertools import count
from pathlib import Path

from tests.servers.clients import Endpoint
from tests.servers.fuzz.check import grpc_fault, http_fault
from tests.servers.fuzz.exchange import GrpcConnection, HttpConnection, Hung, Reply
from tests.servers.fuzz.grpc_cases import GrpcCase, grpc_case
from tests.servers.fuzz.http_cases import HttpCase, http_case
from tests.servers.fuzz.models import models
from tests.servers.fuzz.oracle import MAX_BYTES, MAX_VALUES, Expected
from tests.servers.servers import Served, ort_rrelu_serve

_CLIENTS = 8
_KNOWN_EVERY = 100  # requests of a client
_MOST_FAULTS = 20


@dataclass
class Found:
    """requests: by transport, kind and status; faults: with the number that repeats the request."""

    requests: Counter[tuple[str, str, int]] = field(default_factory=Counter)
    known: int = 0
    faults: list[str] = field(default_factory=list)

    def add(self, other: Found) -> None:
        """Of another client."""
        self.requests += other.requests
        self.known += other.known
        self.faults += other.faults


@dataclass(frozen=True)
class State:
    """Of one server's process: MiB, the most it had, open files, threads."""

    mib: float
    peak_mib: float
    files: int
    threads: int


def state(process: int) -> State:
    """What the process has now."""
    folder = Path(f"/proc/{process}")
    status = (folder / "status").read_text()

    def number(name: str) -> int:
        found = re.search(rf"{name}:\s*(\d+)", status)
        assert found is not None, status
        return int(found[1])

    files = sum(1 for _ in (folder / "fd").iterdir())
    return State(round(number("VmRSS") / 1024, 1), round(number("VmHWM") / 1024, 1), files, number("Threads"))


@contextmanager
def servers(folder: Path) -> Iterator[Served]:
    """`ort-rrelu serve` for each model, with limits that requests here reach."""
    protos = {name: model.proto for name, model in models().items()}
    limits = {"max_bytes": MAX_BYTES, "max_values": MAX_VALUES, "body_timeout": 5}
    with ort_rrelu_serve(protos, folder, **limits) as served:
        yield served


def fuzz(
    served: Served, seed: int, numbers: range, report: Callable[[int], None] = lambda done: None
) -> Found:
    """The requests of these numbers; report: is told how many a client has done."""
    found = Found()
    with ThreadPoolExecutor(_CLIENTS) as pool:
        parts = [numbers[i::_CLIENTS] for i in range(_CLIENTS)]
        for part in pool.map(lambda part: _client(served.endpoints, seed, part, report), parts):
            found.add(part)
    return found


class _Connections:
    """One client's, to each server."""

    def __init__(self, endpoints: Mapping[str, Endpoint]) -> None:
        self.http = {name: HttpConnection(endpoint.http) for name, endpoint in endpoints.items()}
        self.broken = {name: HttpConnection(endpoint.http) for name, endpoint in endpoints.items()}
        self.grpc = {name: GrpcConnection(endpoint.grpc) for name, endpoint in endpoints.items()}

    def http_reply(self, name: str, case: HttpCase) -> Reply:
        """Of broken HTTP on a connection of its own: what is left on it may be anything."""
        if not case.broken:
            return self.http[name].ask(case.request)
        try:
            return self.broken[name].ask(case.request, cut_short=True)
        finally:
            self.broken[name].close()

    def close(self) -> None:
        for connection in (*self.http.values(), *self.broken.values(), *self.grpc.values()):
            connection.close()


def _client(
    endpoints: Mapping[str, Endpoint], seed: int, numbers: range, report: Callable[[int], None]
) -> Found:
    found, connections = Found(), _Connections(endpoints)
    try:
        for done, number in enumerate(numbers):
            if len(found.faults) >= _MOST_FAULTS:
                break
            _one(connections, seed, number, found)
            if done % _KNOWN_EVERY == 0:
                _ask_known(connections, found)
                report(done)
        _ask_known(connections, found)
    finally:
        connections.close()
    return found


def _one(connections: _Connections, seed: int, number: int, found: Found) -> None:
    rng = random.Random(f"{seed}/{number}")
    name, model = rng.choice(list(models().items()))
    over = rng.choice(("http", "grpc"))
    case: HttpCase | GrpcCase
    try:
        if over == "http":
            case = http_case(rng, name, model)
            reply = connections.http_reply(name, case)
            fault = http_fault(case, name, model, reply)
        else:
            case = grpc_case(rng, name, model)
            reply = connections.grpc[name].ask(case.method, case.message, case.metadata)
            fault = grpc_fault(case, name, model, reply)
        status = reply.status
    except Hung:
        status, fault = -1, "no answer"
    except OSError as error:
        status, fault = -1, f"no connection: {error}"
    found.requests[over, case.kind, status] += 1
    if fault is not None:
        sent = case.request if isinstance(case, HttpCase) else case.message
        found.faults.append(
            f"request {number}, {name} over {over}, {case.kind}: {fault}; sent {sent[:1500]!r}"
        )


@cache
def _known() -> tuple[tuple[str, HttpCase, GrpcCase], ...]:
    """Right requests of the models whose answers are known."""
    found = []
    for name, model in models().items():
        if model.answer is not None:
            rng = random.Random(0)
            http = next(
                case for _ in count() if isinstance((case := http_case(rng, name, model)).judgement, Expected)
            )
            grpc = next(
                case for _ in count() if isinstance((case := grpc_case(rng, name, model)).judgement, Expected)
            )
            found.append((name, http, grpc))
    return tuple(found)


def _ask_known(connections: _Connections, found: Found) -> None:
    """A right request is answered as ever, whatever came before it."""
    for name, http, grpc in _known():
        model = models()[name]
        try:
            faults = [
                http_fault(http, name, model, connections.http[name].ask(http.request)),
                grpc_fault(grpc, name, model, connections.grpc[name].ask(grpc.method, grpc.message)),
            ]
        except (Hung, OSError) as error:
            faults = [repr(error)]
        found.known += 2
        found.faults += [f"the known request to {name}: {fault}" for fault in faults if fault is not None]
