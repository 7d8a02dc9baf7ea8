"""`ort-rrelu bench`: which models it times, on what, and what it says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

import ort_rrelu
from ort_rrelu.commands import app, runtimes
from tests.commands.command_line import MODELS, RUNNER, call, call_json, refused, write_models


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_models()
    onnx.save(ort_rrelu.graph.portable(MODELS["model"]), "portable.onnx")
    np.save("x", np.zeros((2, 3), np.float32))
    return tmp_path


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The sessions that are made, in order."""
    sessions: list[Any] = []
    open_session = runtimes.open_session

    def noted(*arguments: Any, **options: Any) -> Any:
        sessions.append(open_session(*arguments, **options))
        return sessions[-1]

    monkeypatch.setattr("ort_rrelu.commands.bench.open_session", noted)
    return sessions


def test_models_are_timed_side_by_side() -> None:
    facts = call_json("bench model.onnx plain.onnx --repeat 5 --dim batch=1000")
    assert (facts["runs"], [model["name"] for model in facts["models"]]) == (5, ["model.onnx", "plain.onnx"])
    first, second = facts["models"]
    assert first["ratio"] == 1
    assert second["ratio"] == pytest.approx(second["median_ms"] / first["median_ms"])
    for model in facts["models"]:
        assert 0 < model["p10_ms"] <= model["median_ms"] <= model["p90_ms"]


def test_each_model_is_timed_without_the_library_too(opened: list[Any]) -> None:
    facts = call_json("bench portable.onnx plain.onnx --without-library --repeat 2")
    names = [model["name"].removesuffix(" without the library") for model in facts["models"]]
    assert names == ["portable.onnx"] * 2 + ["plain.onnx"] * 2
    registered = [_is_registered(of) for of in opened]
    assert registered == [True, False] * 2
    said = ["without" not in model["name"] for model in facts["models"]]
    assert said == registered


def _is_registered(of: Any) -> bool:
    try:
        of.get_session_options().get_session_config_entry("ort_rrelu.registered")
    except RuntimeError:  # ONNX Runtime's way to say that there is no such entry
        return False
    return True


def test_runs_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[Any] = []
    timed_run = runtimes.timed_run

    def noted(of: Any, arrays: Any) -> Any:
        order.append((of, int(arrays["step"])))
        return timed_run(of, arrays)

    monkeypatch.setattr("ort_rrelu.commands.bench.timed_run", noted)
    call("bench model.onnx other.onnx --repeat 2 --step 5")
    first, second = order[0][0], order[1][0]
    assert first is not second
    assert [of for of, _ in order] == [first, second] * 5
    assert [step for _, step in order] == [step for step in range(5, 10) for _ in range(2)]


def test_threads_reach_the_session(opened: list[Any]) -> None:
    assert "2 runs, threads 1" in call("bench eval.onnx --threads 1 --repeat 2")
    assert [of.get_session_options().intra_op_num_threads for of in opened] == [1]


@pytest.mark.parametrize(("options", "shown"), [("", True), ("--json", False)])
def test_progress_is_shown_on_a_terminal_only(options: str, shown: bool) -> None:
    command = f"bench eval.onnx --repeat 3 {options}".split()
    on_terminal = RUNNER.invoke(app, command, env={"FORCE_COLOR": "1", "NO_COLOR": None})
    assert on_terminal.exit_code == 0
    assert ("Running" in on_terminal.stderr) == shown
    assert "Running" not in on_terminal.stdout
    assert RUNNER.invoke(app, command).stderr == ""


ERRORS = {
    "nope.onnx": "there is no model file nope.onnx",
    "eval.onnx x.npy": "x.npy: not an ONNX model",
    "eval.onnx --without-library": "eval.onnx: it cannot run without the library",
    "eval.onnx --step 1": 'no int64 input named "step"',
}


@pytest.mark.parametrize(("command", "message"), ERRORS.items(), ids=ERRORS)
def test_errors_are_one_line(command: str, message: str) -> None:
    assert message in refused(f"bench {command}")
