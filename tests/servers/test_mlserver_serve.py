"""`ort-rrelu serve`: MLServer with a limit on bodies, and errors before it listens."""

from __future__ import annotations

import gzip
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import onnx
import pytest
from tritonclient.utils import InferenceServerException

from tests.servers.clients import Client, refusal
from tests.servers.processes import free_ports
from tests.servers.servers import Served, ort_rrelu_serve
from tests.servers.test_faults import _post, check_alive, check_oversized, check_raw_messages
from tests.serving_models import MODELS


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with ort_rrelu_serve({"eval": MODELS["eval"]}, tmp_path_factory.mktemp("serve")) as server:
        yield server


def test_oversized_request(served: Served, transport: str) -> None:
    with closing(Client(served.endpoints["eval"], transport)) as client:
        check_oversized(client)


def test_raw_messages(served: Served) -> None:
    check_raw_messages(served.endpoints["eval"])


def test_compressed_body(served: Served) -> None:
    """It could grow beyond any limit."""
    status, text = _post(served, gzip.compress(bytes(10**6)), {"content-encoding": "gzip"})
    assert status == 415
    assert b"uncompressed" in text
    with closing(Client(served.endpoints["eval"], "json")) as client:
        check_alive(client)


def _serve(*arguments: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "ort_rrelu", "serve", *arguments], capture_output=True, text=True, timeout=120
    )
    return done.returncode, " ".join(done.stderr.split())


def test_model_that_is_not_there(tmp_path: Path) -> None:
    code, text = _serve(str(tmp_path / "no.onnx"))
    assert (code, text) == (2, f"error: there is no model file {tmp_path / 'no.onnx'}")


def test_model_that_mlserver_cannot_carry(tmp_path: Path) -> None:
    onnx.save(MODELS["bfloat16"], tmp_path / "m.onnx")
    code, text = _serve(str(tmp_path / "m.onnx"))
    assert code == 2
    assert 'error: input "x_bfloat16" is BF16, which MLServer does not carry' in text


def test_port_that_is_taken(served: Served, tmp_path: Path) -> None:
    onnx.save(MODELS["eval"], tmp_path / "m.onnx")
    port = served.endpoints["eval"].http.partition(":")[2]
    code, text = _serve(str(tmp_path / "m.onnx"), "--http-port", port, "--grpc-port", str(free_ports(1)[0]))
    assert code == 2
    assert f"port {port}" in text


@pytest.mark.parametrize("verb", ["load", "unload"])
def test_no_client_takes_the_model_away(served: Served, transport: str, verb: str) -> None:
    with closing(Client(served.endpoints["eval"], transport)) as client:
        with pytest.raises(InferenceServerException) as caught:
            getattr(client.raw, f"{verb}_model")("eval")
        assert refusal(caught.value) == "invalid"
        check_alive(client)


def test_ports_that_are_the_same(tmp_path: Path) -> None:
    onnx.save(MODELS["eval"], tmp_path / "m.onnx")
    port = str(free_ports(1)[0])
    code, text = _serve(str(tmp_path / "m.onnx"), "--http-port", port, "--grpc-port", port)
    assert (code, text) == (2, f"error: HTTP and gRPC port are both {port}: they must differ")


@pytest.mark.parametrize("name", ["a/b", "", "\u00e9t\u00e9", "\u732b", "a\nb"])
def test_name_that_no_request_could_reach(tmp_path: Path, name: str) -> None:
    onnx.save(MODELS["eval"], tmp_path / "m.onnx")
    code, text = _serve(str(tmp_path / "m.onnx"), "--name", name)
    assert code == 2
    assert text.startswith("error: model name")


@pytest.mark.parametrize(
    "name", ["max-bytes", "max-values", "max-rows", "max-pixels", "max-side", "max-connections"]
)
@pytest.mark.parametrize(("value", "allowed"), [("0", "1"), (str(2**50), "it must be an integer above 0")])
def test_limit_refused(tmp_path: Path, name: str, value: str, allowed: str) -> None:
    code, text = _serve(str(tmp_path / "m.onnx"), f"--{name}", value)
    assert code == 2
    assert name in text.replace("_", "-")
    assert allowed in text


@pytest.mark.parametrize("value", ["0", "nan", "90000"])
def test_body_timeout_refused(tmp_path: Path, value: str) -> None:
    code, text = _serve(str(tmp_path / "m.onnx"), "--body-timeout", value)
    assert code == 2
    assert "body_timeout=" in text
    assert "it must be a number above 0, at most 86400" in text
