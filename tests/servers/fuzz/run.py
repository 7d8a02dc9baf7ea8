"""Many requests by several clients at a time, and what the servers are like before and after."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache, partial
from itertools import count
from pathlib import Path
from typing import TypeVar

from tests.servers.clients import Endpoint
from tests.servers.fuzz.check import grpc_fault, http_fault
from tests.servers.fuzz.exchange import GrpcConnection, HttpConnection, Hung, Reply
from tests.servers.fuzz.grpc_cases import GrpcCase, grpc_case
from tests.servers.fuzz.http_cases import HttpCase, http_case
from tests.servers.fuzz.models import models
from tests.servers.fuzz.oracle import MAX_BYTES, MAX_VALUES, Expected
from tests.servers.process_state import State, state
from tests.servers.servers import Served, ort_rrelu_serve

_Case = TypeVar("_Case", HttpCase, GrpcCase)
_CLIENTS = 8
# Threads and files: those that a server makes when it first has so much to do.
_MAY_GROW = {"mib": 32, "peak_mib": 64, "files": 8, "threads": 16}
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


@contextmanager
def servers(folder: Path) -> Iterator[Served]:
    """`ort-rrelu serve` for each model, with limits that requests here reach."""
    protos = {name: model.proto for name, model in models().items()}
    limits = {"max_bytes": MAX_BYTES, "max_values": MAX_VALUES, "body_timeout": 5}
    with ort_rrelu_serve(protos, folder, **limits) as served:
        yield served


def fuzz(served: Served, seed: int, numbers: range) -> Found:
    """The requests of these numbers, by several clients."""
    found = Found()
    with ThreadPoolExecutor(_CLIENTS) as pool:
        parts = [numbers[i::_CLIENTS] for i in range(_CLIENTS)]
        for part in pool.map(partial(_client, served.endpoints, seed), parts):
            found.add(part)
    return found


@dataclass(frozen=True)
class Result:
    """What was found, and each server's state once it is warm and in the end."""

    found: Found
    before: dict[str, State]
    after: dict[str, State]
    faults: list[str]


def fuzz_and_watch(served: Served, folder: Path, seed: int, numbers: range) -> Result:
    """A tenth of the requests warms the servers; what they hold then must be about all."""
    warm = len(numbers) // 10
    found = fuzz(served, seed, numbers[:warm])
    before = {name: state(process) for name, process in served.processes.items()}
    found.add(fuzz(served, seed, numbers[warm:]))
    after = {name: state(process) for name, process in served.processes.items()}
    faults = found.faults + [fault for name in before for fault in _grown(name, before[name], after[name])]
    for name in before:
        if "Traceback" in (log := (folder / f"{name}.log").read_text()):
            faults.append(f"{name} wrote a traceback: {log[log.index('Traceback') :][:2000]}")
    return Result(found, before, after, faults)


def _grown(name: str, before: State, after: State) -> Iterator[str]:
    for what, allowed in _MAY_GROW.items():
        grown = getattr(after, what) - getattr(before, what)
        if grown > allowed:
            yield f"{name}: {what} grew by {grown}"


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
        for connection in (*self.http.values(), *self.broken.values()):
            connection.close()
        for channel in self.grpc.values():
            channel.close()


def _client(endpoints: Mapping[str, Endpoint], seed: int, numbers: range) -> Found:
    found, connections = Found(), _Connections(endpoints)
    try:
        for done, number in enumerate(numbers):
            if len(found.faults) >= _MOST_FAULTS:
                break
            _one(connections, seed, number, found)
            if done % _KNOWN_EVERY == 0:
                _ask_known(connections, found)
        _ask_known(connections, found)
    finally:
        connections.close()
    return found


def _one(connections: _Connections, seed: int, number: int, found: Found) -> None:
    rng = random.Random(f"{seed}/{number}")
    name, model = rng.choice(list(models().items()))
    over = rng.choice(("http", "grpc"))
    sent = b""
    try:
        if over == "http":
            http = http_case(rng, name, model)
            kind, sent = http.kind, http.request
            reply = connections.http_reply(name, http)
            fault = http_fault(http, name, model, reply)
        else:
            grpc = grpc_case(rng, name, model)
            kind, sent = grpc.kind, grpc.message
            reply = connections.grpc[name].ask(grpc.method, grpc.message, grpc.metadata)
            fault = grpc_fault(grpc, name, model, reply)
        status = reply.status
    except Hung:
        status, fault = -1, "no answer"
    except OSError as error:
        status, fault = -1, f"no connection: {error}"
    found.requests[over, kind, status] += 1
    if fault is not None:
        told = f"request {number}, {name} over {over}, {kind}: {fault}"
        found.faults.append(f"{told}; sent {sent[:1500]!r}")


def _first(case_of: Callable[[random.Random], _Case]) -> _Case:
    """One that has an answer."""
    cases = (case_of(random.Random(number)) for number in count())
    return next(case for case in cases if isinstance(case.judgement, Expected))


@cache
def _known() -> tuple[tuple[str, HttpCase, GrpcCase], ...]:
    """Right requests of the models whose answers are known."""
    found = []
    for name, model in models().items():
        if model.answer is not None:
            http = _first(partial(http_case, name=name, model=model))
            grpc = _first(partial(grpc_case, name=name, model=model))
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
