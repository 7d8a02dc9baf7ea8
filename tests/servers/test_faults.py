"""Requests that are wrong get a 4xx with a reason, over gRPC its counterpart, and never a 500."""

from __future__ import annotations

import http.client
import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from threading import Barrier
from typing import Any

import grpc
import numpy as np
import pytest
from tritonclient.grpc import service_pb2, service_pb2_grpc
from tritonclient.utils import InferenceServerException

import ort_rrelu
from ort_rrelu.arguments import Array
from tests.servers.clients import Client, Endpoint, refusal
from tests.servers.conftest import Connect
from tests.servers.servers import MAX_BYTES, Served

ROW = np.ones((1, 8), np.float32)
GOOD = {"x": ("FP32", ROW)}

# Inputs, outputs asked for, what the reason names.
_WRONG: dict[str, tuple[dict[str, tuple[str, Array]], list[str], str]] = {
    "input's name": ({"z": ("FP32", ROW)}, [], 'there is no input "z"'),
    "one input more": (GOOD | {"z": ("FP32", ROW)}, [], 'there is no input "z"'),
    "output's name": (GOOD, ["z"], 'there is no output "z"'),
    "rank": ({"x": ("FP32", ROW[0])}, [], "shape [8], the model takes [batch, 8]"),
    "size": ({"x": ("FP32", ROW[:, 1:])}, [], "shape [1, 7], the model takes [batch, 8]"),
    "double": ({"x": ("FP64", ROW.astype(np.float64))}, [], "datatype FP64, the model takes FP32"),
    "integers": ({"x": ("INT32", ROW.astype(np.int32))}, [], "datatype INT32, the model takes FP32"),
    "strings": ({"x": ("BYTES", np.full((1, 8), "a", object))}, [], "datatype BYTES, the model takes FP32"),
}


def check_alive(client: Client) -> None:
    assert client.infer(GOOD)["y"].tobytes() == ort_rrelu.rrelu(ROW).tobytes()


@pytest.mark.parametrize("name", _WRONG)
def test_wrong_request(connect: Connect, transport: str, name: str) -> None:
    inputs, outputs, reason = _WRONG[name]
    client = connect("eval", transport)
    with pytest.raises(InferenceServerException) as caught:
        client.infer(inputs, outputs)
    assert refusal(caught.value) == "invalid"
    assert reason in caught.value.message()
    check_alive(client)


def test_missing_input(connect: Connect, transport: str) -> None:
    with pytest.raises(InferenceServerException) as caught:
        connect("train", transport).infer(GOOD)
    assert refusal(caught.value) == "invalid"
    assert 'missing input "step"' in caught.value.message()


@pytest.mark.parametrize("step", [np.array([1, 2]), np.zeros(0, np.int64)])
def test_step_of_other_than_one_element(connect: Connect, transport: str, step: Array) -> None:
    with pytest.raises(InferenceServerException) as caught:
        connect("train", transport).infer({**GOOD, "step": ("INT64", step)})
    assert refusal(caught.value) == "invalid"


def test_model_that_is_not_there(connect: Connect, transport: str) -> None:
    client = connect("eval", transport)
    with pytest.raises(InferenceServerException) as caught:
        client.infer(GOOD, name="nothing")
    assert refusal(caught.value) == "not found"
    check_alive(client)


def test_bad_request_fails_no_neighbour(served: Served, transport: str) -> None:
    """Requests share runs; the wrong ones must be out before they do."""

    def ask(index: int) -> bool:
        with closing(Client(served.endpoints["eval"], transport)) as client:
            if index % 2 == 0:
                check_alive(client)
                return True
            with pytest.raises(InferenceServerException) as caught:
                client.infer({"x": ("FP32", ROW[:, 1:])})
            return refusal(caught.value) == "invalid"

    with ThreadPoolExecutor(16) as pool:
        assert all(pool.map(ask, range(64)))


def test_value_that_a_kernel_refuses_fails_no_neighbour(served: Served, transport: str) -> None:
    """Found only in the run that the requests share."""
    together = Barrier(16)

    def ask(index: int) -> None:
        with closing(Client(served.endpoints["lookup"], transport)) as client:
            together.wait(60)
            if index % 8:
                answer = client.infer({"at": ("INT64", np.array([index % 8]))})
                assert answer["y"] == [index % 8]
                return
            with pytest.raises(InferenceServerException) as caught:
                client.infer({"at": ("INT64", np.array([77]))})
            assert refusal(caught.value) == "invalid"
            assert "idx=77" in caught.value.message()

    with ThreadPoolExecutor(16) as pool:
        assert len(list(pool.map(ask, range(16)))) == 16


@pytest.mark.parametrize("name", ["\u00e9", "\u732b", "a\r\nb: c", " "])
def test_odd_id(kind: str, served: Served, name: str) -> None:
    """MLServer puts it into headers, Ray's application only into the answer."""
    status, text = _post(served, json.dumps({"id": name, "inputs": [_TENSOR]}).encode())
    if kind == "ray":
        assert status == 200
        assert json.loads(text)["id"] == name
    else:
        assert status == 400
        assert b"it must be ASCII" in text


def _post(served: Served, body: bytes, headers: dict[str, str] | None = None) -> tuple[int, bytes]:
    host, _, prefix = served.endpoints["eval"].http.partition("/")
    connection = http.client.HTTPConnection(host, timeout=60)
    try:
        path = f"{'/' if prefix else ''}{prefix}/v2/models/eval/infer"
        connection.request("POST", path, body, {"content-type": "application/json", **(headers or {})})
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


_TENSOR: dict[str, Any] = {"name": "x", "shape": [1, 8], "datatype": "FP32", "data": [1.0] * 8}
_BODIES: dict[str, bytes] = {
    "empty": b"",
    "cut short": json.dumps({"inputs": [_TENSOR]}).encode()[:-9],
    "no JSON": b"\xff\x00\xfe",
    "deep": b"[" * 50_000,
    "list": b"[]",
    **{
        name: json.dumps(value).encode()
        for name, value in {
            "no inputs": {},
            "inputs are a number": {"inputs": 3},
            "no shape": {"inputs": [{k: v for k, v in _TENSOR.items() if k != "shape"}]},
            "no data": {"inputs": [{k: v for k, v in _TENSOR.items() if k != "data"}]},
            "unknown datatype": {"inputs": [{**_TENSOR, "datatype": "FP31"}]},
            "negative shape": {"inputs": [{**_TENSOR, "shape": [-1, -8]}]},
            "huge shape": {"inputs": [{**_TENSOR, "shape": [2**40, 8]}]},
            "shape of floats": {"inputs": [{**_TENSOR, "shape": [1.5, 8]}]},
            "too few values": {"inputs": [{**_TENSOR, "data": [1.0] * 7}]},
            "ragged": {"inputs": [{**_TENSOR, "data": [[1.0], [1.0] * 7]}]},
            "texts for numbers": {"inputs": [{**_TENSOR, "data": ["1"] * 8}]},
            "nulls": {"inputs": [{**_TENSOR, "data": [None] * 8}]},
            "data is an object": {"inputs": [{**_TENSOR, "data": {"a": 1}}]},
            "input twice": {"inputs": [_TENSOR, _TENSOR]},
            "outputs are a text": {"inputs": [_TENSOR], "outputs": "y"},
        }.items()
    },
}


@pytest.mark.parametrize("name", _BODIES)
def test_body(served: Served, name: str) -> None:
    status, text = _post(served, _BODIES[name])
    assert 400 <= status < 500, (status, text)
    assert text


def test_right_body(served: Served) -> None:
    """So that the ones above are refused for what is wrong with them."""
    status, text = _post(served, json.dumps({"inputs": [_TENSOR]}).encode())
    assert status == 200, text


_RAW: dict[str, tuple[str, list[int], list[bytes]]] = {
    "too few bytes": ("FP32", [1, 8], [bytes(28)]),
    "no whole number of values": ("FP32", [1, 8], [bytes(31)]),
    "unknown datatype": ("FP31", [1, 8], [bytes(32)]),
    "negative shape": ("FP32", [-1, -8], [bytes(32)]),
    "huge shape": ("FP32", [2**40, 8], [bytes(32)]),
    "length beyond the data": ("BYTES", [1, 8], [b"\xff\xff\xff\xff"]),
}


def check_raw_messages(endpoint: Endpoint) -> None:
    """Messages that contradict themselves, which tritonclient would not send: its stub does."""
    with grpc.insecure_channel(endpoint.grpc) as channel:
        ask = service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelInfer
        metadata = tuple(endpoint.headers.items())
        for name, (datatype, shape, raw) in _RAW.items():
            request = service_pb2.ModelInferRequest(model_name=endpoint.name, raw_input_contents=raw)
            request.inputs.add(name="x", datatype=datatype, shape=shape)
            with pytest.raises(grpc.RpcError) as caught:
                ask(request, metadata=metadata, timeout=60)
            assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT, (name, caught.value)
            assert caught.value.details(), name


def check_oversized(client: Client) -> None:
    rows = np.ones((MAX_BYTES // 32 + 1, 8), np.float32)
    with pytest.raises(InferenceServerException) as caught:
        client.infer({"x": ("FP32", rows)})
    assert refusal(caught.value) == "too large"
    check_alive(client)
