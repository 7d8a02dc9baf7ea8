"""Checkpoints: resumed in another process, saved whole or not at all, refused when they do not fit."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnxruntime.training import api, artifacts

from ort_rrelu.errors import InvalidValueError, ModelFileError
from ort_rrelu.training import load_artifacts, save_checkpoint
from tests.onnxruntime_training.networks import batch, linear, make_artifacts

_STEPS = 12


def _train(folder: Path, checkpoint: Path | None, steps: range, save_to: Path) -> dict[str, np.ndarray]:
    """Trains on a batch of each step's own, saves, and gives the weights."""
    module, update, state = load_artifacts(folder, checkpoint=checkpoint)
    update.set_learning_rate(0.02)
    for step in steps:
        module.lazy_reset_grad()
        module(batch(seed=step)[0], np.array(step), batch(seed=step)[1])
        update.step()
    save_checkpoint(state, save_to)
    return {name: np.array(parameter.data) for name, parameter in state.parameters}


def _in_another_process(folder: Path, checkpoint: Path, first: int, save_to: Path) -> None:
    code = (
        "from pathlib import Path; from tests.onnxruntime_training.test_checkpoints import _train; "
        f"_train(Path({str(folder)!r}), Path({str(checkpoint)!r}), range({first}, {_STEPS}), "
        f"Path({str(save_to)!r}))"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=100, capture_output=True)


def _weights(checkpoint: Path) -> dict[str, np.ndarray]:
    state = api.CheckpointState.load_checkpoint(checkpoint)
    return {name: np.array(parameter.data) for name, parameter in state.parameters}


@pytest.mark.parametrize("optimizer", ["AdamW", "SGD"])
def test_stop_and_resume_equals_an_uninterrupted_run_bit_for_bit(optimizer: str, tmp_path: Path) -> None:
    folder = make_artifacts(linear(step=True), tmp_path / "made", optimizer=artifacts.OptimType[optimizer])
    stopped, resumed = tmp_path / "stopped", tmp_path / "resumed"
    whole = _train(folder, None, range(_STEPS), tmp_path / "whole")
    half = _train(folder, None, range(5), stopped)
    _in_another_process(folder, stopped, 5, resumed)
    for name, value in _weights(resumed).items():
        assert np.array_equal(value, whole[name])
        assert not np.array_equal(value, half[name])


def test_without_the_steps_it_does_not(tmp_path: Path) -> None:
    """That the test above can fail: slopes of other steps."""
    folder = make_artifacts(linear(step=True), tmp_path / "made")
    whole = _train(folder, None, range(_STEPS), tmp_path / "whole")
    other = load_artifacts(folder)
    other.optimizer.set_learning_rate(0.02)
    for step in range(_STEPS):
        other.module.lazy_reset_grad()
        other.module(batch(seed=step)[0], np.array(step + (step > 5)), batch(seed=step)[1])
        other.optimizer.step()
    assert not np.array_equal(whole["w0"], np.array(other.state.parameters["w0"].data))


def _halved(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


_DAMAGES: dict[str, tuple[Any, type[Exception], str]] = {
    "truncated": (_halved, InvalidValueError, "not a checkpoint, or a damaged one .*verification failed"),
    "empty": (lambda path: path.write_bytes(b""), InvalidValueError, "not a checkpoint, or a damaged one"),
    "garbage": (lambda path: path.write_bytes(bytes(range(256)) * 9), InvalidValueError, "not a checkpoint"),
    "a model": (lambda path: onnx.save(linear(), path), InvalidValueError, "not a checkpoint"),
    "absent": (lambda path: path.unlink(), ModelFileError, "there is no checkpoint"),
}


@pytest.mark.parametrize(("damage", "kind", "message"), _DAMAGES.values(), ids=_DAMAGES)
def test_damaged_checkpoint(damage: Any, kind: type[Exception], message: str, tmp_path: Path) -> None:
    folder = make_artifacts(linear(), tmp_path)
    damage(folder / "checkpoint")
    with pytest.raises(kind, match=message) as caught:
        load_artifacts(folder)
    assert str(folder / "checkpoint") in str(caught.value)


def _renamed() -> onnx.ModelProto:
    model = linear()
    model.graph.initializer[0].name = model.graph.node[0].input[1] = "renamed"
    return model


_OTHERS = {
    "another shape": (lambda: linear(hidden=6), r"'b0' has shape \(6,\), not \(5,\)|'w0' has shape"),
    "another name": (_renamed, "it has no parameter 'w0'"),
}


@pytest.mark.parametrize(("make", "message"), _OTHERS.values(), ids=_OTHERS)
def test_checkpoint_of_another_model(make: Any, message: str, tmp_path: Path) -> None:
    folder = make_artifacts(linear(), tmp_path / "made")
    other = make_artifacts(make(), tmp_path / "other") / "checkpoint"
    with pytest.raises(InvalidValueError, match=f"{re.escape(str(other))} is of another model.*{message}"):
        load_artifacts(folder, checkpoint=other)


def test_a_nominal_checkpoint_is_opened(tmp_path: Path) -> None:
    """It holds no values."""
    folder = make_artifacts(linear(), tmp_path, nominal_checkpoint=True)
    module, *_ = load_artifacts(folder, checkpoint=folder / "nominal_checkpoint")
    assert module.get_parameters_size() == sum(
        np.size(value) for value in _weights(folder / "checkpoint").values()
    )


@pytest.mark.parametrize("name", ["training_model.onnx", "eval_model.onnx"])
def test_a_model_is_missing(name: str, tmp_path: Path) -> None:
    folder = make_artifacts(linear(), tmp_path)
    (folder / name).unlink()
    with pytest.raises(ModelFileError, match=name):
        load_artifacts(folder)


_KILLED = """
import os, signal, sys
from pathlib import Path
from ort_rrelu.training import load_artifacts, save_checkpoint
from onnxruntime.training import api

folder, target = map(Path, sys.argv[1:])
state = load_artifacts(folder).state
save = api.CheckpointState.save_checkpoint

def half_a_save(state, path, *rest):
    save(state, path, *rest)
    with open(path, "r+b") as file:
        file.truncate(os.path.getsize(path) // 2)
    os.kill(os.getpid(), signal.SIGKILL)

api.CheckpointState.save_checkpoint = half_a_save
save_checkpoint(state, target)
"""


def test_a_process_that_is_killed_while_saving_leaves_the_last_checkpoint(tmp_path: Path) -> None:
    folder = make_artifacts(linear(step=True), tmp_path / "made")
    target = tmp_path / "saved"
    weights = _train(folder, None, range(3), target)
    killed = subprocess.run(
        [sys.executable, "-c", _KILLED, os.fspath(folder), os.fspath(target)], timeout=100, check=False
    )
    assert killed.returncode == -signal.SIGKILL
    for name, value in _weights(target).items():
        assert np.array_equal(value, weights[name])
