"""python -m tests.benchmarks.load_hostile: health checks while clients send the worst requests there are.

In the environment of the server, which --server names; traffic on loopback only. Prints the 99th percentile
of health checks, idle and under load of each kind, and by how much the memory of the server grew.
"""

from __future__ import annotations

import argparse
import http.client
import itertools
import json
import multiprocessing
import os
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import onnx
from tritonclient.grpc import service_pb2, service_pb2_grpc

from ort_rrelu.serving.images import image_classifier
from tests.servers import servers
from tests.servers.clients import Endpoint
from tests.servers.hostile import Hostile, image_requests, number_requests
from tests.serving_models import parse

_CLIENTS = 8
_PAUSE = 0.01  # seconds between health checks
_TIMEOUT = 120
_REQUESTS = {"image": image_requests, "numbers": number_requests}
_MARK = "ORT_RRELU_LOAD_HOSTILE"


@dataclass(frozen=True)
class Measured:
    """Seconds of health checks, answers by what was sent and what came, MiB of memory: idle, and the peak."""

    idle: list[float]
    loaded: list[float]
    answers: Mapping[tuple[str, str], int]
    memory: float
    peak: float

    @property
    def ratio(self) -> float:
        """Of the 99th percentiles."""
        return float(np.percentile(self.loaded, 99) / np.percentile(self.idle, 99))


def models() -> dict[str, onnx.ModelProto]:
    """One that takes an image, one that takes numbers."""
    image = "g (float[batch,1,8,8] x) => (float[batch,64] y) { z = Flatten (x) \n y = ort_rrelu.RRelu (z) }"
    numbers = "g (float[batch,4] x) => (float[batch,4] y) { y = ort_rrelu.RRelu (x) }"
    return {"image": image_classifier(parse(image)), "numbers": parse(numbers)}


@contextmanager
def hostile_server(
    server: str, folder: Path, names: Collection[str] = tuple(_REQUESTS)
) -> Iterator[tuple[Mapping[str, Endpoint], str]]:
    """The models behind one kind of server, with its default limits; what marks its processes."""
    mark, chosen = uuid.uuid4().hex, {name: model for name, model in models().items() if name in names}
    os.environ[_MARK] = mark
    try:
        if server == "ray":
            with servers.ray_serve(chosen, folder, {}, max_bytes=None) as served:
                yield served.endpoints, mark
        else:
            with servers.ort_rrelu_serve(chosen, folder, max_bytes=None) as served:
                yield served.endpoints, mark
    finally:
        del os.environ[_MARK]


def measure(endpoint: Endpoint, mark: str, transport: str, seconds: float, only: str = "") -> Measured:
    """Health checks alone, then while the clients work; memory of processes whose command has `only`."""
    requests = _REQUESTS[endpoint.name]()
    _ask(endpoint, transport, next(iter(requests.values())))
    idle = _health(endpoint, time.monotonic() + seconds / 2)
    before = _memory(mark, only, reset=True)
    context = multiprocessing.get_context("spawn")  # a process of its own: the checks are not to wait for it
    answers = context.Queue()
    clients = context.Process(target=_clients, args=(endpoint, transport, requests, seconds, answers))
    clients.start()
    loaded = []
    while clients.is_alive():
        loaded += _health(endpoint, time.monotonic() + 1)
        if not answers.empty():
            break
    counted = answers.get(timeout=_TIMEOUT)
    clients.join(_TIMEOUT)
    return Measured(idle, loaded, counted, before, _memory(mark, only))


def _clients(
    endpoint: Endpoint, transport: str, requests: Mapping[str, Hostile], seconds: float, answers: Any
) -> None:
    end = time.monotonic() + seconds

    def one(index: int) -> Counter[tuple[str, str]]:
        counted: Counter[tuple[str, str]] = Counter()
        names = itertools.cycle([*requests][index % len(requests) :] + [*requests][: index % len(requests)])
        while time.monotonic() < end:
            name = next(names)
            counted[name, _ask(endpoint, transport, requests[name])] += 1
        return counted

    with ThreadPoolExecutor(_CLIENTS) as pool:
        answers.put(sum(pool.map(one, range(_CLIENTS)), Counter()))


def _ask(endpoint: Endpoint, transport: str, request: Hostile) -> str:
    """The status of an answer."""
    return _ask_grpc(endpoint, request) if transport == "grpc" else _ask_http(endpoint, request)


def _ask_http(endpoint: Endpoint, request: Hostile) -> str:
    host, _, prefix = endpoint.http.partition("/")
    connection = http.client.HTTPConnection(host, timeout=_TIMEOUT)
    try:
        path = f"{'/' if prefix else ''}{prefix}/v2/models/{endpoint.name}/infer"
        connection.request("POST", path, request.body, {"content-type": "application/json"})
        response = connection.getresponse()
        response.read()
        return str(response.status)
    finally:
        connection.close()


def _ask_grpc(endpoint: Endpoint, request: Hostile) -> str:
    message = service_pb2.ModelInferRequest(model_name=endpoint.name)
    name = "image" if endpoint.name == "image" else "x"
    tensor = message.inputs.add(name=name, datatype=request.datatype, shape=request.shape)
    if request.typed:
        tensor.contents.MergeFromString(_packed_floats(request.typed))
    else:
        message.raw_input_contents.append(request.raw)
    with grpc.insecure_channel(endpoint.grpc, [("grpc.max_receive_message_length", -1)]) as channel:
        ask = service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelInfer
        try:
            ask(message, metadata=tuple(endpoint.headers.items()), timeout=_TIMEOUT)
        except grpc.RpcError as error:
            return str(error.code().name)
    return "OK"


def _packed_floats(count: int) -> bytes:
    """Zeros as fp32_contents on the wire: a tag, the length as a varint, and the bytes."""
    size, length = 4 * count, bytearray()
    while size > 127:
        length.append(size & 127 | 128)
        size >>= 7
    return b"\x32" + bytes(length) + bytes([size]) + bytes(4 * count)


def _health(endpoint: Endpoint, end: float) -> list[float]:
    host, _, prefix = endpoint.http.partition("/")
    connection = http.client.HTTPConnection(host, timeout=_TIMEOUT)
    taken = []
    try:
        while (began := time.monotonic()) < end:
            connection.request("GET", f"{'/' if prefix else ''}{prefix}/v2/health/live")
            response = connection.getresponse()
            response.read()
            assert response.status == 200, response.status
            taken.append(time.monotonic() - began)
            time.sleep(_PAUSE)
    finally:
        connection.close()
    return taken


def _memory(mark: str, only: str, *, reset: bool = False) -> float:
    """MiB of the processes that have the mark: now when the peaks are reset, else their peaks."""
    found = 0.0
    for folder in Path("/proc").iterdir():
        try:
            if folder.name == str(os.getpid()) or mark.encode() not in (folder / "environ").read_bytes():
                continue
            status = dict(line.split(":", 1) for line in (folder / "status").read_text().splitlines())
            command = (folder / "cmdline").read_text()
            if "VmRSS" not in status or "multiprocessing" in command or only not in command:
                continue
            found += int(status["VmRSS" if reset else "VmHWM"].split()[0]) / 1024
            if reset:
                (folder / "clear_refs").write_text("5")
        except OSError:  # no process, or one that has just ended
            continue
    return found


def table(results: Mapping[tuple[str, str], Measured]) -> str:
    """The rows for docs/serving.md."""
    lines = ["| requests | over | idle p99 ms | under load p99 ms | ratio | memory over idle, MiB |"]
    lines.append("|---|---|---|---|---|---|")
    for (name, transport), found in results.items():
        idle, loaded = (float(np.percentile(values, 99)) * 1e3 for values in (found.idle, found.loaded))
        cells = f"{idle:.1f} | {loaded:.1f} | {found.ratio:.0f} | {found.peak - found.memory:.0f}"
        lines.append(f"| {name} | {transport} | {cells} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--server", choices=["mlserver", "ray"], default="mlserver")
    parser.add_argument("--seconds", type=float, default=30, help="for each kind of requests and transport")
    options = parser.parse_args()
    results = {}
    for name in _REQUESTS:
        for transport in ("http", "grpc"):
            with (
                tempfile.TemporaryDirectory() as folder,
                hostile_server(options.server, Path(folder), [name]) as (endpoints, mark),
            ):
                only = "ServeReplica" if options.server == "ray" else ""  # not its proxy
                found = measure(endpoints[name], mark, transport, options.seconds, only)
                results[name, transport] = found
                print(json.dumps({f"{name}, {status}": n for (name, status), n in found.answers.items()}))
    print(table(results))


if __name__ == "__main__":
    main()
