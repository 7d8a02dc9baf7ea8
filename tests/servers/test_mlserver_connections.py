"""`ort-rrelu serve`: connections, slow clients and long names, within limits that are reached in seconds."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path

import grpc
import numpy as np
import pytest
from tritonclient.grpc import service_pb2, service_pb2_grpc
from tritonclient.utils import InferenceServerException

import ort_rrelu
from tests.servers.clients import Client, Endpoint
from tests.servers.servers import Served, ort_rrelu_serve
from tests.servers.test_faults import _TENSOR, ROW, _post, check_alive
from tests.serving_models import MODELS

_TIMEOUT, _CONNECTIONS = 3, 8
_LATE = 60  # seconds after which a test gives up
_HEALTH = b"GET /v2/health/live HTTP/1.1\r\nhost: a\r\n\r\n"
_INFER = b"POST /v2/models/eval/infer HTTP/1.1\r\nhost: a\r\n"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("limits")
    limits = {"body_timeout": _TIMEOUT, "max_connections": _CONNECTIONS, "max_values": 64}
    with ort_rrelu_serve({"eval": MODELS["eval"]}, folder, **limits) as server:
        yield server


def _connected(served: Served) -> socket.socket:
    host, port = served.endpoints["eval"].http.split(":")
    return socket.create_connection((host, int(port)), _LATE)


def _answer(connection: socket.socket) -> bytes:
    """What comes until the server closes, or is silent for a second after something came."""
    received = b""
    try:
        while data := connection.recv(2**16):
            received += data
            connection.settimeout(1)
    except (TimeoutError, ConnectionResetError):
        pass
    return received


@pytest.mark.parametrize("sent", [b"", b"GET /v2/health/li", _HEALTH[:-2], _HEALTH + b"GET /v2"])
def test_half_sent_header_is_closed(served: Served, sent: bytes) -> None:
    with _connected(served) as connection:
        began = time.monotonic()
        connection.sendall(sent)
        while True:
            try:
                if not connection.recv(2**16):
                    break
            except ConnectionResetError:
                break
        assert _TIMEOUT * 0.9 < time.monotonic() - began < _LATE


@pytest.mark.parametrize(
    "header", [b"content-length: 100\r\n\r\n", b"transfer-encoding: chunked\r\n\r\n4\r\n"]
)
def test_slow_body(served: Served, header: bytes) -> None:
    with _connected(served) as connection:
        connection.sendall(_INFER + header + b'{"in')
        answer = _answer(connection)
    assert answer.startswith(b"HTTP/1.1 408")
    assert b"the body did not come within 3 seconds" in answer


def test_health_check_gets_in_beside_half_open_connections(served: Served) -> None:
    """They are as many as are allowed, and more: the oldest makes room."""
    with ExitStack() as stack:
        waiting = [stack.enter_context(_connected(served)) for _ in range(3 * _CONNECTIONS)]
        for connection in waiting:
            connection.sendall(_HEALTH[:-2])
        for _ in range(5):
            health = stack.enter_context(_connected(served))
            health.sendall(_HEALTH)
            assert health.recv(2**16).startswith(b"HTTP/1.1 200")
        last = waiting[-1]
        last.sendall(b"\r\n")  # the newest is still there
        assert _answer(last).startswith(b"HTTP/1.1 200")


def test_every_connection_of_a_burst_is_answered(served: Served) -> None:
    """Those without a place get 503, on a connection that is not reset before they read it."""
    with ExitStack() as stack:
        burst = [stack.enter_context(_connected(served)) for _ in range(2 * _CONNECTIONS)]
        for connection in burst:
            connection.sendall(_HEALTH)
        answers = [_answer(connection)[:12] for connection in burst]
    assert set(answers) <= {b"HTTP/1.1 200", b"HTTP/1.1 503"}
    assert answers.count(b"HTTP/1.1 200") >= _CONNECTIONS


def test_health_check_gets_in_beside_slow_bodies(served: Served) -> None:
    """Some connections are left for it."""
    with ExitStack() as stack:
        slow = [stack.enter_context(_connected(served)) for _ in range(_CONNECTIONS - 1)]
        for connection in slow:
            connection.sendall(_INFER + b'content-length: 100\r\n\r\n{"in')
        answers = []
        health = stack.enter_context(_connected(served))
        health.sendall(_HEALTH)
        assert _answer(health).startswith(b"HTTP/1.1 200")
        answers = [_answer(connection)[:12] for connection in slow]
    assert sorted(set(answers)) == [b"HTTP/1.1 408", b"HTTP/1.1 503"]


def _raw_call(endpoint: Endpoint, chunks: Iterator[bytes], method: str = "ModelInfer") -> grpc.Call:
    """ModelInfer with messages as they are."""
    channel = grpc.insecure_channel(endpoint.grpc)
    return channel.stream_unary(f"/inference.GRPCInferenceService/{method}")(chunks, timeout=_LATE)


def _nothing() -> Iterator[bytes]:
    time.sleep(_TIMEOUT * 3)
    yield b""


def test_slow_message(served: Served) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        _raw_call(served.endpoints["eval"], _nothing())
    assert caught.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    assert "did not come within 3 seconds" in caught.value.details()


@pytest.mark.parametrize("method", ["ModelInfer", "ModelMetadata"])
def test_slow_message_stops_no_other(served: Served, method: str) -> None:
    def seconds_of_another() -> float:
        with ThreadPoolExecutor() as pool:
            pool.submit(_raw_call, served.endpoints["eval"], _nothing(), method)
            time.sleep(_TIMEOUT / 6)  # until it is read
            began = time.monotonic()
            _infer(served, _message(fp32_contents=ROW[0].tolist()))
            return time.monotonic() - began

    assert any(seconds_of_another() < _TIMEOUT / 2 for _ in range(3))  # a busy machine may be late


@pytest.mark.parametrize("message", [[], [b"\xff\xff\xff"]])
def test_message_that_is_none(served: Served, message: list[bytes]) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        _raw_call(served.endpoints["eval"], iter(message))
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert "message" in caught.value.details()


@pytest.mark.parametrize("method", ["ServerLive", "ServerReady"])
def test_health_reads_no_message(served: Served, method: str) -> None:
    assert _raw_call(served.endpoints["eval"], iter([bytes(2**20)]), method) == b"\x08\x01"


def test_streams_are_not_served(served: Served) -> None:
    endpoint = served.endpoints["eval"]
    with grpc.insecure_channel(endpoint.grpc) as channel, pytest.raises(grpc.RpcError) as caught:
        list(service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelStreamInfer(iter([]), timeout=_LATE))
    assert caught.value.code() == grpc.StatusCode.UNIMPLEMENTED


def _message(datatype: str = "FP32", **contents: list[float]) -> service_pb2.ModelInferRequest:
    message = service_pb2.ModelInferRequest(model_name="eval", id="an id")
    tensor = message.inputs.add(name="x", datatype=datatype, shape=[1, 8])
    for name, values in contents.items():
        getattr(tensor.contents, name).extend(values)
    return message


def _infer(served: Served, message: service_pb2.ModelInferRequest) -> service_pb2.ModelInferResponse:
    with grpc.insecure_channel(served.endpoints["eval"].grpc) as channel:
        return service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelInfer(message, timeout=_LATE)


def test_typed_contents_are_answered_in_kind(served: Served) -> None:
    answer = _infer(served, _message(fp32_contents=ROW[0].tolist()))
    assert (answer.id, answer.model_name, len(answer.raw_output_contents)) == ("an id", "eval", 0)
    (y,) = [output for output in answer.outputs if output.name == "y"]
    assert np.array(y.contents.fp32_contents, np.float32).tobytes() == ort_rrelu.rrelu(ROW).tobytes()


@pytest.mark.parametrize("count", [7, 9, 10**5])
def test_typed_contents_are_counted(served: Served, count: int) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        _infer(served, _message(fp32_contents=[1.0] * count))
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert "shape [1, 8] has 8" in caught.value.details()


def _long(field: str) -> service_pb2.ModelInferRequest:
    message, text = _message(fp32_contents=[1.0] * 8), "a" * 10**5
    if field in ("id", "model_name"):
        setattr(message, field, text)
    elif field == "output":
        message.outputs.add(name=text)
    else:
        setattr(message.inputs[0], field, text)
    return message


@pytest.mark.parametrize("field", ["id", "model_name", "name", "datatype", "output"])
def test_long_texts_are_refused_with_a_reason_that_a_client_can_read(served: Served, field: str) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        _infer(served, _long(field))
    assert caught.value.code() in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND)
    assert "aaaa" in caught.value.details()
    assert len(caught.value.details()) < 700


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"id": "a" * 2**19}, b"bytes, at most 256"),
        ({"id": 5}, b"must be a string"),
        ({"outputs": [{"name": "y"}] * 2}, b"asked for twice"),
        ({"outputs": [{"name": "y" * 10**5}]}, b"there is no output"),
        ({"inputs": [{**_TENSOR, "name": "x" * 10**5}]}, b"there is no input"),
        ({"inputs": [{**_TENSOR, "shape": [1] * 10**3}]}, b"the model takes [batch, 8]"),
    ],
)
def test_long_texts_in_json(served: Served, more: dict[str, object], reason: bytes) -> None:
    status, text = _post(served, json.dumps({"inputs": [_TENSOR], **more}).encode())
    assert (status, reason in text, len(text) < 1000) == (400, True, True), text[:1000]


def test_id_of_256_bytes_comes_back(served: Served, transport: str) -> None:
    name = "\u00e9" * 128
    if transport == "grpc":
        message = _message(fp32_contents=[1.0] * 8)
        message.id = name
        assert _infer(served, message).id == name
        return
    status, text = _post(served, json.dumps({"inputs": [_TENSOR], "id": name}).encode())
    assert (status, json.loads(text)["id"]) == (200, name)


def test_binary_tensors_over_http(served: Served) -> None:
    with closing(Client(served.endpoints["eval"], "binary")) as client:
        check_alive(client)
        rows = np.ones((100, 8), np.float32)  # the limit of values is one of JSON
        assert client.infer({"x": ("FP32", rows)})["y"].shape == (100, 8)
    with (
        closing(Client(served.endpoints["eval"], "json")) as client,
        pytest.raises(InferenceServerException, match="more than 64"),
    ):
        client.infer({"x": ("FP32", rows)})


@pytest.mark.parametrize("verb", ["infer_stream", "generate_stream"])
def test_streams_over_http(served: Served, verb: str) -> None:
    host, port = served.endpoints["eval"].http.split(":")
    with socket.create_connection((host, int(port)), _LATE) as connection:
        connection.sendall(_INFER.replace(b"infer", verb.encode()) + b"content-length: 2\r\n\r\n{}")
        assert _answer(connection).startswith(b"HTTP/1.1 404")


def test_large_body_for_what_takes_none(served: Served) -> None:
    host, port = served.endpoints["eval"].http.split(":")
    with socket.create_connection((host, int(port)), _LATE) as connection:
        head = b"POST /v2/repository/index HTTP/1.1\r\nhost: a\r\ncontent-length: 100000\r\n\r\n"
        connection.sendall(head + bytes(100_000))
        assert _answer(connection).startswith(b"HTTP/1.1 413")


def test_client_that_does_not_read(tmp_path: Path) -> None:
    """Its connection is closed, too, and its answer dropped."""
    with ort_rrelu_serve(
        {"eval": MODELS["eval"]}, tmp_path, body_timeout=_TIMEOUT, max_bytes=2**25
    ) as server:
        rows = 10**5
        tensor = {**_TENSOR, "shape": [rows, 8], "data": [1.0] * rows * 8}
        body = json.dumps({"inputs": [tensor]}).encode()
        host, port = server.endpoints["eval"].http.split(":")
        with socket.socket() as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2**18)  # what the system keeps for it
            connection.settimeout(_LATE)
            connection.connect((host, int(port)))
            connection.sendall(_INFER + b"content-length: %d\r\n\r\n" % len(body) + body)
            time.sleep(5 * _TIMEOUT)
            received = _answer(connection)
        length = int(received.partition(b"content-length: ")[2].partition(b"\r")[0])
        assert received.startswith(b"HTTP/1.1 200")
        assert len(received) < length
