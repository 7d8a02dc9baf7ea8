"""Answers over every transport are those of a session in this process."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from PIL import Image
from tritonclient.utils import InferenceServerException

import ort_rrelu
from ort_rrelu.arguments import Array
from tests.servers.clients import refusal
from tests.servers.conftest import Connect
from tests.servers.servers import Served
from tests.serving_models import weights


def encoded(pixels: Array, form: str) -> bytes:
    written = io.BytesIO()
    Image.fromarray(pixels).save(written, form, quality=95)
    return written.getvalue()


def image(data: bytes, transport: str) -> dict[str, tuple[str, Array]]:
    """JSON has no bytes: base64."""
    return {"image": ("BYTES", np.array([base64.b64encode(data) if transport == "json" else data], object))}


ROWS = np.random.default_rng(0).standard_normal((5, 8)).astype(np.float32)


@pytest.mark.parametrize("rows", [1, 5])
def test_eval_answer(connect: Connect, transport: str, rows: int) -> None:
    answer = connect("eval", transport).infer({"x": ("FP32", ROWS[:rows])})
    y = ort_rrelu.rrelu(ROWS[:rows])
    assert answer["y"].tobytes() == y.tobytes()
    np.testing.assert_allclose(answer["scores"], y @ weights(), rtol=1e-5, atol=1e-6)


def test_outputs_asked_for(connect: Connect, transport: str) -> None:
    client = connect("eval", transport)
    assert list(client.infer({"x": ("FP32", ROWS)}, ["y"])) == ["y"]
    assert list(client.infer({"x": ("FP32", ROWS)}, ["y", "scores"])) == ["y", "scores"]
    assert sorted(client.infer({"x": ("FP32", ROWS)})) == ["scores", "y"]


@pytest.mark.parametrize("step", [0, 5, 2**62 + 1, -1])
def test_step_is_an_int64(connect: Connect, transport: str, step: int) -> None:
    answer = connect("train", transport).infer({"x": ("FP32", ROWS), "step": ("INT64", np.array(step))})
    assert answer["y"].tobytes() == ort_rrelu.rrelu(ROWS, training=True, seed=7, step=step).tobytes()


def test_half_and_double(connect: Connect, raw_transport: str) -> None:
    x: dict[str, Array] = {"FP16": ROWS[:, :3].astype(np.float16), "FP64": ROWS[:, :3].astype(np.float64)}
    client = connect("numbers", raw_transport)
    answer = client.infer({"x_float16": ("FP16", x["FP16"]), "x_double": ("FP64", x["FP64"])})
    for name, datatype in (("y_float16", "FP16"), ("y_double", "FP64")):
        assert answer[name].dtype == x[datatype].dtype
        assert answer[name].tobytes() == ort_rrelu.rrelu(x[datatype]).tobytes()


def test_image_and_garbage(connect: Connect, transport: str) -> None:
    """Bytes that would end or hang onnxruntime-extensions' decoder are refused, and the server goes on."""
    client = connect("image", transport)
    shown = np.zeros((4, 4), np.uint8)
    shown[1, 2] = 255
    whole = {kind: encoded(shown, kind) for kind in ("PNG", "JPEG")}
    assert client.infer(image(whole["PNG"], transport))["label"].tolist() == [6]
    large = encoded(np.random.default_rng(0).integers(0, 255, (64, 64)).astype(np.uint8), "JPEG")
    for bad in (b"", b"no image", large[: len(large) // 2], large[:-20], whole["PNG"][:40], b"\xff\xd8" * 99):
        with pytest.raises(InferenceServerException) as caught:
            client.infer(image(bad, transport))
        assert refusal(caught.value) == "invalid"
        assert "not a whole JPEG or PNG image" in caught.value.message()
    assert client.infer(image(whole["JPEG"], transport))["label"].tolist() == [6]


def test_metadata_and_health(served: Served, connect: Connect) -> None:
    shape = {"x": [-1, 8], "step": []}
    for transport in ("json", "grpc"):
        client = connect("train", transport)
        more = {} if transport == "json" else {"as_json": True}
        told = client.raw.get_model_metadata("train", headers=client.headers, **more)
        found = {i["name"]: (i["datatype"], [int(d) for d in i.get("shape", [])]) for i in told["inputs"]}
        assert found == {"x": ("FP32", shape["x"]), "step": ("INT64", shape["step"])}
        assert [o["name"] for o in told["outputs"]] == ["y", "sharing"]
        assert client.raw.is_server_live(headers=client.headers)
        assert client.raw.is_server_ready(headers=client.headers)
        assert client.raw.is_model_ready("train", headers=client.headers)
