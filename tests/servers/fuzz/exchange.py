"""What is sent and what comes back: HTTP/1.1 on a socket, byte by byte, and gRPC without its types."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import grpc
import numpy as np
from tritonclient.grpc import service_pb2

from tests.servers.fuzz.models import DATATYPES, Answer
from tests.servers.fuzz.oracle import CONTENTS

HANG = 30  # seconds: several times as long as the server gives a body
_ENOUGH = 1  # after which a request that still waits is known to be cut short
_CODES = {
    grpc.StatusCode.OK: 200,
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.DEADLINE_EXCEEDED: 408,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 413,
    grpc.StatusCode.UNIMPLEMENTED: 404,
    grpc.StatusCode.UNAVAILABLE: 503,
}
_SERVICE = "/inference.GRPCInferenceService/"


@dataclass(frozen=True)
class Reply:
    """status: HTTP's, or gRPC's counterpart; 0 for a connection that was closed without an answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def reason(self) -> str:
        """What a refusal says."""
        return self.body.decode("utf-8", "replace")


CLOSED = Reply(0, {}, b"")


@dataclass(frozen=True)
class Answered:
    """What an answer says. binary: the outputs that came as bytes."""

    outputs: Answer
    binary: frozenset[str]
    model: str
    version: str
    id: str


class Hung(Exception):  # noqa: N818
    """No answer came."""


class HttpConnection:
    """One connection that is opened again when the server has closed it."""

    def __init__(self, address: str) -> None:
        host, port = address.split(":")
        self._address = host, int(port)
        self._socket: socket.socket | None = None
        self._received = b""

    def ask(self, request: bytes, *, cut_short: bool = False) -> Reply:
        """One request and its answer. cut_short: it may lack its end, so that the server waits for it.

        Raises Hung.
        """
        for _ in range(2):  # a connection that was kept may be closed just then
            kept = self._socket is not None
            reply = self._try(request, cut_short)
            if reply is not CLOSED or not kept:
                break
        return reply

    def _try(self, request: bytes, cut_short: bool) -> Reply:
        if self._socket is None:
            self._socket = socket.create_connection(self._address, HANG)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._received = b""
        try:
            self._socket.settimeout(HANG)
            self._socket.sendall(request)
            if cut_short:
                self._wait_a_moment(self._socket)
            reply = self._reply(self._socket)
        except TimeoutError as error:
            self.close()
            raise Hung from error
        except OSError:
            reply = CLOSED
        if reply is CLOSED or reply.headers.get("connection") == "close":
            self.close()
        return reply

    def _wait_a_moment(self, connection: socket.socket) -> None:
        connection.settimeout(_ENOUGH)
        try:
            self._received += connection.recv(2**16)
        except TimeoutError:
            connection.shutdown(socket.SHUT_WR)
        connection.settimeout(HANG)

    def _reply(self, connection: socket.socket) -> Reply:
        while b"\r\n\r\n" not in self._received:
            if not (data := connection.recv(2**16)):
                return CLOSED
            self._received += data
        head, _, rest = self._received.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        status = int(first.split()[1])
        length = int(headers.get("content-length", "0"))
        while len(rest) < length:
            if not (data := connection.recv(2**20)):
                return CLOSED
            rest += data
        self._received = rest[length:]
        if 100 <= status < 200:
            return self._reply(connection)
        return Reply(status, headers, rest[:length])

    def close(self) -> None:
        """Close it; the next request opens another."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None


class GrpcConnection:
    """One channel whose messages are bytes."""

    def __init__(self, address: str) -> None:
        self._channel = grpc.insecure_channel(address, [("grpc.use_local_subchannel_pool", 1)])
        self._calls: dict[str, Callable[..., bytes]] = {}

    def ask(self, method: str, message: bytes, metadata: tuple[tuple[str, str], ...] = ()) -> Reply:
        """One call. Raises Hung."""
        if method not in self._calls:
            self._calls[method] = self._channel.unary_unary(_SERVICE + method)
        try:
            return Reply(200, {}, self._calls[method](message, timeout=HANG, metadata=metadata))
        except grpc.RpcError as error:
            details = str(error.details())
            if error.code() == grpc.StatusCode.DEADLINE_EXCEEDED and "did not come" not in details:
                raise Hung from error
            return Reply(_CODES.get(error.code(), 500), {}, f"{error.code().name}: {details}".encode())

    def close(self) -> None:
        """Close it."""
        self._channel.close()


def http_answer(reply: Reply) -> Answered:
    """Raises ValueError, KeyError, TypeError for what is no answer of the protocol."""
    length = int(reply.headers.get("inference-header-content-length", len(reply.body)))
    answer, rest = json.loads(reply.body[:length]), reply.body[length:]
    found: Answer = {}
    binary = set()
    for entry in answer["outputs"]:
        datatype, shape = entry["datatype"], entry["shape"]
        size = entry.get("parameters", {}).get("binary_data_size")
        if size is None:
            values = np.array(entry["data"], DATATYPES[datatype])
        else:
            values, rest = _from_raw(datatype, rest[:size]), rest[size:]
            binary.add(entry["name"])
        found[entry["name"]] = _shaped(values, shape)
    if rest:
        raise ValueError(f"{len(rest)} bytes belong to no output")
    content_type = "application/octet-stream" if binary else "application/json"
    if reply.headers.get("content-type") != content_type:
        raise ValueError(f"content-type {reply.headers.get('content-type')}, expected {content_type}")
    named = answer["model_name"], answer.get("model_version", ""), answer.get("id", "")
    return Answered(found, frozenset(binary), *named)


def grpc_answer(reply: Reply) -> Answered:
    """The same of a ModelInferResponse."""
    answer = service_pb2.ModelInferResponse.FromString(reply.body)
    raw, found = answer.raw_output_contents, {}
    for index, output in enumerate(answer.outputs):
        if raw:
            values = _from_raw(output.datatype, raw[index])
        else:
            contents = list(getattr(output.contents, CONTENTS[output.datatype]))
            texts = [value.decode() for value in contents] if output.datatype == "BYTES" else contents
            values = np.array(texts, DATATYPES[output.datatype])
        found[output.name] = _shaped(values, output.shape)
    binary = frozenset(found if raw else ())
    return Answered(found, binary, answer.model_name, answer.model_version, answer.id)


def _shaped(values: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    if any(size < 0 for size in shape):  # which NumPy would find out by itself
        raise ValueError(f"shape {list(shape)}")
    return values.reshape(tuple(shape))


def _from_raw(datatype: str, data: bytes) -> np.ndarray:
    if datatype != "BYTES":
        return np.frombuffer(data, DATATYPES[datatype])
    texts = []
    while data:
        length = int.from_bytes(data[:4], "little")
        texts.append(data[4 : 4 + length].decode())
        data = data[4 + length :]
    return np.array(texts, object)
