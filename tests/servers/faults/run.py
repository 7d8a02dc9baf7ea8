"""Each failure under load: what became of the requests, and whether the server is afterwards as before."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import onnx

from tests.servers.clients import Endpoint
from tests.servers.faults import failures
from tests.servers.faults.heavy import NAME, heavy
from tests.servers.faults.load import Seen, load, throughput
from tests.servers.process_state import State, forget_peak, state
from tests.servers.processes import free_ports, running, wait_until
from tests.servers.servers import is_ready, ort_rrelu_serve

_LIMITS = {"threads": 1, "max_connections": 64, "body_timeout": 3, "max_bytes": 2**20}
_SATURATING = 8  # clients
_TIMES = 2  # the load that saturates
_MAY_GROW = {"mib": 32, "files": 8, "threads": 8}
_MAY_PEAK = 256  # MiB: a run takes 8, and there are as many at a time as threads
_SETTLE = 30


@dataclass
class Report:
    """One failure. outcomes: of the load's requests; failing: of the clients that fail."""

    name: str
    outcomes: dict[str, int]
    failing: dict[str, int]
    p50_ms: float
    p99_ms: float
    ratio: float
    before: State
    peak_mib: float
    after: State
    faults: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Server:
    endpoint: Endpoint
    process: int


@contextmanager
def _server(folder: Path) -> Iterator[_Server]:
    with ort_rrelu_serve({NAME: heavy()}, folder, **_LIMITS) as served:
        yield _Server(served.endpoints[NAME], served.processes[NAME])


@contextmanager
def _on_full_disk(folder: Path) -> Iterator[_Server]:
    """Its working directory, its temporary files and its log are on a disk without a free byte."""
    model, disk = folder / f"{NAME}.onnx", folder / "disk"
    onnx.save(heavy(), model)
    disk.mkdir()
    http, grpc = free_ports(2)
    options = " ".join(f"--{name.replace('_', '-')} {value}" for name, value in _LIMITS.items())
    script = (
        f"mount -t tmpfs -o size=64k none {disk} && cd {disk} && touch log && "
        "(cat /dev/zero > filling 2> /dev/null; ! echo more > more) && "
        f"exec {Path(sys.executable).parent}/ort-rrelu serve {model} {options} "
        f"--http-port {http} --grpc-port {grpc} > log 2>&1"
    )
    command = ["unshare", "--map-root-user", "--mount", "sh", "-c", script]
    ready = partial(is_ready, f"127.0.0.1:{http}/v2/models/{NAME}")
    with running(command, folder / "log", ready, {"TMPDIR": str(disk)}) as process:
        yield _Server(Endpoint(NAME, f"127.0.0.1:{http}", f"127.0.0.1:{grpc}"), process.pid)


FAILURES = {
    failure.__name__: failure
    for failure in (failures.nothing, failures.slow_clients, failures.dropped_connections)
}


def lasting(
    folder: Path, seconds: float, least_ratio: float, under: Iterable[str] = FAILURES
) -> Iterator[Report]:
    """Failures that a server outlives, by name; then a full disk of another server.

    least_ratio: of right answers a second afterwards and before.
    """
    with _server(folder) as server:
        rate = _TIMES * throughput(server.endpoint.http, _SATURATING, seconds)
        for name in under:
            yield _report(name, server, FAILURES[name], rate, seconds, least_ratio)
    with _on_full_disk(folder) as server:
        yield _report("full_disk", server, failures.bad_requests, rate, seconds, least_ratio)


def _report(
    name: str, server: _Server, failure: failures.Failure, rate: float, seconds: float, least_ratio: float
) -> Report:
    address = server.endpoint.http
    with load(address, rate):  # what is kept for so many connections is there before
        failure(server.endpoint, seconds / 2)
    usual = throughput(address, _SATURATING, seconds)
    before = state(server.process)
    forget_peak(server.process)
    with load(address, rate) as seen:
        failing = failure(server.endpoint, seconds)
    peak = state(server.process).peak_mib
    ratio = throughput(address, _SATURATING, seconds) / usual
    faults = faults_of(seen, {"right", "503"})
    try:
        wait_until(lambda: not grown(before, state(server.process)), "", _SETTLE)
    except TimeoutError:
        faults += grown(before, state(server.process))
    if peak - before.mib > _MAY_PEAK:
        faults.append(f"memory rose by {peak - before.mib} MiB")
    if ratio < least_ratio:
        faults.append(f"{ratio:.2f} times as many answers a second as before")
    after = state(server.process)
    times = seen.percentile(50), seen.percentile(99)
    return Report(
        name, dict(seen.outcomes), dict(failing), *times, round(ratio, 2), before, peak, after, faults
    )


def faults_of(seen: Seen, allowed: set[str]) -> list[str]:
    """Outcomes that are not allowed; a server that answers nobody is at fault, too."""
    faults = [
        f"{times} requests: {outcome}" for outcome, times in seen.outcomes.items() if outcome not in allowed
    ]
    return faults if seen.outcomes["right"] else [*faults, "no right answer"]


def grown(before: State, after: State) -> list[str]:
    """What a server has kept."""
    grown = {what: getattr(after, what) - getattr(before, what) for what in _MAY_GROW}
    return [f"{what} grew by {grown[what]}" for what in grown if grown[what] > _MAY_GROW[what]]


@dataclass
class Killed:
    """A server that was ended under load and started again with the same ports."""

    name: str
    outcomes: dict[str, int]
    status: int
    seconds_to_end: float
    faults: list[str] = field(default_factory=list)


def killed(folder: Path, how: signal.Signals, seconds: float) -> Killed:
    """Requests are answered or their connections closed, and the next process gives the same slopes."""
    model = folder / f"{NAME}.onnx"
    onnx.save(heavy(), model)
    http, grpc = free_ports(2)
    command = [str(Path(sys.executable).parent / "ort-rrelu"), "serve", str(model)]
    for name, value in {**_LIMITS, "http_port": http, "grpc_port": grpc}.items():
        command += [f"--{name.replace('_', '-')}", str(value)]
    ready, address = partial(is_ready, f"127.0.0.1:{http}/v2/models/{NAME}"), f"127.0.0.1:{http}"
    with running(command, folder / "first.log", ready) as process:
        rate = _TIMES * throughput(address, _SATURATING, seconds)
        with load(address, rate) as seen:
            time.sleep(seconds)
            began = time.monotonic()
            os.kill(process.pid, how)
            status = process.wait(60)
            took = time.monotonic() - began
    with running(command, folder / "second.log", ready):
        throughput(address, _SATURATING, 1)  # every answer is right
    faults = faults_of(seen, {"right", "503", "connection closed", "not connected"})
    if how != signal.SIGKILL and status != 0:
        faults.append(f"exit status {status}")
    if "Traceback" in (log := (folder / "first.log").read_text()):
        faults.append(f"it wrote a traceback: {log[log.index('Traceback') :][:1000]}")
    return Killed(how.name, dict(Counter(seen.outcomes)), status, round(took, 1), faults)
