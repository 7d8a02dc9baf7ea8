"""Bodies that are too large, messages that contradict themselves.

`mlserver start` has neither guard: test_mlserver_serve.py is about those of `ort-rrelu serve`.
"""

from __future__ import annotations

import json
import socket

import grpc
import pytest
from tritonclient.grpc import service_pb2, service_pb2_grpc

from ort_rrelu.errors import InvalidValueError
from ort_rrelu.serving.ray import app
from tests.servers.conftest import Connect
from tests.servers.servers import Served
from tests.servers.test_faults import _TENSOR, _post, check_oversized, check_raw_messages


def test_oversized_request(connect: Connect, transport: str) -> None:
    check_oversized(connect("eval", transport))


def test_raw_messages(served: Served) -> None:
    check_raw_messages(served.endpoints["eval"])


def test_slow_body(served: Served) -> None:
    """Serve's proxy passes it on as it comes; the replica stops waiting."""
    host, _, prefix = served.endpoints["eval"].http.partition("/")
    name, port = host.split(":")
    with socket.create_connection((name, int(port)), 60) as connection:
        head = f"POST /{prefix}/v2/models/eval/infer HTTP/1.1\r\nhost: a\r\ncontent-length: 100\r\n\r\n"
        connection.sendall(head.encode() + b'{"in')
        answer = connection.recv(2**16)
    assert answer.startswith(b"HTTP/1.1 408")


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"id": "a" * 2**19}, b"bytes, at most 256"),
        ({"outputs": [{"name": "y"}] * 2}, b"asked for twice"),
        ({"inputs": [{**_TENSOR, "name": "x" * 10**5}]}, b"there is no input"),
        ({"inputs": [{**_TENSOR, "data": [1.0] * 10**5}]}, b"the JSON has"),
    ],
)
def test_long_texts_and_lists(served: Served, more: dict[str, object], reason: bytes) -> None:
    status, text = _post(served, json.dumps({"inputs": [_TENSOR], **more}).encode())
    assert (status, reason in text, len(text) < 1000) == (400, True, True), text[:1000]


@pytest.mark.parametrize("field", ["id", "model_name"])
def test_long_texts_over_grpc(served: Served, field: str) -> None:
    endpoint = served.endpoints["eval"]
    message = service_pb2.ModelInferRequest(model_name="eval", raw_input_contents=[bytes(32)])
    message.inputs.add(name="x", datatype="FP32", shape=[1, 8])
    setattr(message, field, "a" * 10**5)
    with grpc.insecure_channel(endpoint.grpc) as channel:
        ask = service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelInfer
        with pytest.raises(grpc.RpcError) as caught:
            ask(message, metadata=tuple(endpoint.headers.items()), timeout=60)
    assert caught.value.code() in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND)
    assert len(caught.value.details()) < 700


@pytest.mark.parametrize(
    "name", ["max_bytes", "max_values", "max_rows", "max_pixels", "max_side", "body_timeout"]
)
def test_limit_of_the_application_refused(name: str) -> None:
    with pytest.raises(InvalidValueError, match=rf"{name}=0(\.0)?: it must be"):
        app({"model": "net.onnx", name: 0})
