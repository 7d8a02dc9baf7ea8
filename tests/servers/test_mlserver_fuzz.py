"""A short form of `make fuzz-serving`, and that its oracle finds what it is for."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from tests.servers.fuzz import run
from tests.servers.fuzz.check import http_fault
from tests.servers.fuzz.exchange import Reply
from tests.servers.fuzz.http_cases import HttpCase
from tests.servers.fuzz.models import models
from tests.servers.fuzz.oracle import Expected, Refusal, judge_body

_REQUESTS = 600


def test_right_requests_are_answered_and_others_refused(tmp_path: Path) -> None:
    with run.servers(tmp_path) as served:
        result = run.fuzz_and_watch(served, tmp_path, 0, range(_REQUESTS))
    assert result.faults == []
    for name in models():  # SIGINT has ended them
        assert "Traceback" not in (tmp_path / f"{name}.log").read_text()
    requests = result.found.requests
    assert sum(requests.values()) == _REQUESTS
    for over in ("http", "grpc"):
        answered = sum(n for (by, _, status), n in requests.items() if (by, status) == (over, 200))
        refused = sum(n for (by, _, status), n in requests.items() if by == over and 400 <= status < 500)
        assert min(answered, refused) > _REQUESTS / 10
    assert result.found.known > 0


_STEPS = {
    "inputs": [
        {"name": "x", "datatype": "FP32", "shape": [1, 8], "data": [-1.0] * 8},
        {"name": "at", "datatype": "INT64", "shape": [1], "data": [-1]},
        {"name": "step", "datatype": "INT64", "shape": [1], "data": [5]},
    ],
    "outputs": [{"name": "y"}],
}


def _told(judgement: Expected | Refusal | None, status: int, answer: object) -> str | None:
    case = HttpCase("whole", b"", judgement)
    reply = Reply(status, {"content-type": "application/json"}, json.dumps(answer).encode())
    return http_fault(case, "steps", models()["steps"], reply)


def _answer(y: np.ndarray) -> dict[str, object]:
    output = {"name": "y", "datatype": "FP32", "shape": list(y.shape), "data": y.ravel().tolist()}
    return {"model_name": "steps", "outputs": [output]}


def test_one_bit_of_a_slope_is_seen() -> None:
    judgement = judge_body(models()["steps"], json.dumps(_STEPS).encode(), None)
    assert isinstance(judgement, Expected)
    right = judgement.answer["y"]
    assert _told(judgement, 200, _answer(right)) is None
    wrong = right.copy()
    wrong[0, 3] = np.nextafter(wrong[0, 3], np.float32(0))
    assert "y is" in str(_told(judgement, 200, _answer(wrong)))
    assert "expected an answer" in str(_told(judgement, 400, {"error": "no"}))


def test_the_form_of_an_answer_is_seen() -> None:
    binary = {"name": "y", "parameters": {"binary_data": True}}
    as_bytes = judge_body(models()["steps"], json.dumps(_STEPS | {"outputs": [binary]}).encode(), None)
    as_json = judge_body(models()["steps"], json.dumps(_STEPS).encode(), None)
    assert isinstance(as_json, Expected)
    answer = _answer(as_json.answer["y"])
    assert "as bytes: [], expected ['y']" in str(_told(as_bytes, 200, answer))
    assert "model, version and id" in str(_told(as_json, 200, answer | {"model_version": "1"}))
    reply = Reply(200, {"content-type": "application/octet-stream"}, json.dumps(answer).encode())
    fault = http_fault(HttpCase("whole", b"", as_json), "steps", models()["steps"], reply)
    assert "content-type" in str(fault)


def test_what_is_refused_must_be_named() -> None:
    wrong = json.loads(json.dumps(_STEPS).replace("[1, 8]", "[1, 9]"))
    judgement = judge_body(models()["steps"], json.dumps(wrong).encode(), None)
    assert judgement == Refusal(frozenset({"x"}))
    assert _told(judgement, 400, {"error": 'input "x": 8 values'}) is None
    for status, answer in ((500, {"error": "x"}), (400, {"error": "no"}), (200, _answer(np.zeros((1, 8))))):
        assert _told(judgement, status, answer) is not None
