"""Answers over every transport are those of a session in this process."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

import ort_rrelu
from tests.serving.conftest import Connect
from tests.serving.servers import Served
from tests.serving_models import MODELS, weights

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


@pytest.mark.parametrize(("name", "datatype"), [("fp16", "FP16"), ("fp64", "FP64")])
def test_datatypes(connect: Connect, transport: str, name: str, datatype: str) -> None:
    dtype = {"FP16": np.float16, "FP64": np.float64}[datatype]
    if transport == "json" and datatype == "FP16":
        pytest.skip("tritonclient sends FP16 as bytes only")
    x = ROWS[:, :3].astype(dtype)
    answer = connect(name, transport).infer({"x": (datatype, x)})["y"]
    assert answer.dtype == dtype
    assert answer.tobytes() == ort_rrelu.rrelu(x).tobytes()


def test_bfloat16(kind: str, connect: Connect, transport: str) -> None:
    if kind == "mlserver":
        pytest.skip("MLServer has no BF16: tests/serving/test_commands.py has its refusal")
    if transport == "json":
        pytest.skip("tritonclient sends BF16 as bytes only")
    x = np.array([[1, -2, 3.5]], np.float32)
    answer = connect("bf16", transport).infer({"x": ("BF16", x)})["y"]
    import ml_dtypes

    assert (answer == ort_rrelu.rrelu(x.astype(ml_dtypes.bfloat16)).astype(np.float32)).all()


def test_texts(connect: Connect, transport: str) -> None:
    x = np.array(["", "a", "grüß"], object)
    answer = connect("texts", transport).infer({"x": ("BYTES", x)})["y"]
    assert [v.decode() if isinstance(v, bytes) else v for v in answer] == list(x)


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


def test_models_are_those_of_the_table() -> None:
    for model in MODELS.values():
        onnx.checker.check_model(model)
