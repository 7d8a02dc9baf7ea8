"""Checkpoints: a training goes on bit for bit, and no crash or damage is taken for one."""

from __future__ import annotations

import dataclasses
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import safetensors.numpy
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import numpy_helper

import ort_rrelu
from ort_rrelu.graph.nodes import our_nodes
from ort_rrelu.training import checkpoint
from ort_rrelu.training.step_model import StepModel, describe
from tests.training.networks import new_trainer, resumable_batch, resumable_step
from tests.training.samples import batch_of, sample_step

# Neither of these imports torch.
_BATCH = """
import sys, itertools, numpy as np
from ort_rrelu.training import Trainer
def batch(step):
    x = np.random.default_rng(step).normal(size=(16, 8)).astype(np.float32)
    return x, x[:, :3].argmax(1)
"""
_TRAIN = (
    _BATCH
    + """
model, resumed, saved, first, last = sys.argv[1:]
trainer = Trainer(model)
if resumed:
    trainer.resume(resumed)
assert trainer.steps == int(first)
for step in range(int(first), int(last)):
    print(trainer.step(*batch(step)).hex())
trainer.save(saved)
assert "torch" not in sys.modules
"""
)
_SAVE_FOR_EVER = (
    _BATCH
    + """
trainer = Trainer(sys.argv[1])
for step in itertools.count():
    trainer.step(*batch(step))
    trainer.save(sys.argv[2])
    print(step, flush=True)
"""
)


@pytest.fixture(scope="module")
def step_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("training") / "step.onnx"
    onnx.save(resumable_step(), path)
    return path


def _train(model: Path, resumed: Path | None, saved: Path, first: int, last: int) -> list[str]:
    arguments = [model, resumed or "", saved, first, last]
    command = [sys.executable, "-c", _TRAIN, *map(str, arguments)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()


def test_a_resumed_run_equals_an_uninterrupted_one_bit_for_bit(tmp_path: Path, step_file: Path) -> None:
    half, resumed, whole = (tmp_path / name for name in ("half", "resumed", "whole"))
    expected = _train(step_file, None, whole, 0, 40)
    actual = _train(step_file, None, half, 0, 17) + _train(step_file, half, resumed, 17, 40)
    assert actual == expected
    assert len(set(expected)) == 40
    for name, value in checkpoint.read(whole).tensors.items():
        np.testing.assert_array_equal(checkpoint.read(resumed).tensors[name], value)


def test_killing_a_process_never_leaves_a_broken_checkpoint(tmp_path: Path, step_file: Path) -> None:
    path = tmp_path / "checkpoint"
    trainer = new_trainer(step_file)
    steps = []
    for delay in np.linspace(0, 0.03, 8):
        process = subprocess.Popen(
            [sys.executable, "-c", _SAVE_FOR_EVER, str(step_file), str(path)],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        process.stdout.readline()  # it saves from now on
        time.sleep(delay)
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        trainer.resume(path)
        steps.append(trainer.steps)
        trainer.step(*resumable_batch(trainer.steps))
    assert max(steps) > 1


def test_the_slopes_of_a_resumed_run_are_not_those_of_its_beginning(tmp_path: Path) -> None:
    """A runtime that counted its own runs would begin at 0 again."""
    trainer = new_trainer(resumable_step())
    for step in range(5):
        trainer.step(*resumable_batch(step))
    trainer.save(tmp_path / "checkpoint")
    resumed = new_trainer(resumable_step())
    resumed.resume(tmp_path / "checkpoint")
    resumed._steps = 0  # what a forgotten step number would do
    assert trainer.step(*resumable_batch(9)) != resumed.step(*resumable_batch(9))


def test_counted_and_given_samples_are_resumed(tmp_path: Path) -> None:
    trainer = new_trainer(sample_step())
    trainer.step(*batch_of(5, 0))
    trainer.step(*batch_of(3, 1), step=[100, 7, 7])
    trainer.save(tmp_path / "checkpoint")
    resumed = new_trainer(sample_step())
    resumed.resume(tmp_path / "checkpoint")
    assert (resumed.steps, resumed.next_sample) == (2, 101)
    for rows in (4, 8, 2):
        losses = [each.step(*batch_of(rows, rows)) for each in (trainer, resumed)]
        assert losses[0].hex() == losses[1].hex()
    assert (resumed.steps, resumed.next_sample) == (5, 115)
    for name, value in trainer.state_dict().items():
        np.testing.assert_array_equal(resumed.state_dict()[name], value)
    forgetful = new_trainer(sample_step())
    forgetful.resume(tmp_path / "checkpoint")
    forgetful._next_sample = 0
    resumed.resume(tmp_path / "checkpoint")
    assert forgetful.step(*batch_of(4, 4)) != resumed.step(*batch_of(4, 4))


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (
            "rows",
            "no number of the next sample: that model takes one step for the whole batch, this one a",
        ),
        ("batch", r"that model takes a step for each sample .*, this one one step for the whole batch"),
    ],
)
def test_a_checkpoint_that_counts_otherwise_changes_nothing(kind: str, message: str, tmp_path: Path) -> None:
    """As one of before, which knew of no samples. The networks are the same."""
    of_rows, of_batch = new_trainer(sample_step()), new_trainer(sample_step(by_sample=False))
    trainer, other = (of_rows, of_batch) if kind == "rows" else (of_batch, of_rows)
    trainer.step(*batch_of(4))
    before, counts = trainer.state_dict(), (trainer.steps, trainer.next_sample)
    other.save(tmp_path / "checkpoint")
    with pytest.raises(ort_rrelu.errors.InvalidValueError, match=message):
        trainer.resume(tmp_path / "checkpoint")
    assert (trainer.steps, trainer.next_sample) == counts
    np.testing.assert_equal(trainer.state_dict(), before)


def test_a_checkpoint_without_samples_is_written_as_ever(saved: Path) -> None:
    with safetensors.safe_open(saved, "np") as file:
        metadata = file.metadata()
    assert set(metadata) == {"format", "steps", "identity", "sha256"}
    assert metadata["format"] == "ort_rrelu.training.1"


@pytest.fixture(scope="module", params=["batch", "rows"])
def either(request: pytest.FixtureRequest, saved: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Checkpoints of both kinds."""
    if request.param == "batch":
        return saved
    path = tmp_path_factory.mktemp("saved") / "rows.safetensors"
    trainer = new_trainer(sample_step())
    trainer.step(*batch_of(4))
    trainer.save(path)
    return path


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("saved") / "checkpoint.safetensors"
    trainer = new_trainer(resumable_step())
    trainer.step(*resumable_batch(0))
    trainer.save(path)
    return path


@given(data=st.data())
@settings(max_examples=60)
def test_a_damaged_checkpoint_is_refused(
    data: st.DataObject, either: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    good = either.read_bytes()
    position = data.draw(st.integers(0, len(good) - 1))
    damaged = bytearray(good)
    if data.draw(st.booleans()):
        del damaged[position:]
    else:
        damaged[position] ^= data.draw(st.integers(1, 255))
    path = tmp_path_factory.mktemp("damaged") / "checkpoint"
    path.write_bytes(damaged)
    try:
        read = checkpoint.read(path)
    except ort_rrelu.errors.InvalidValueError as error:
        assert str(path) in str(error)
        return
    whole = checkpoint.read(either)  # the header has blanks that mean nothing
    assert (read.steps, read.identity, read.next_sample) == (whole.steps, whole.identity, whole.next_sample)
    for name, value in whole.tensors.items():
        np.testing.assert_array_equal(value, read.tensors[name])


def test_a_refused_checkpoint_changes_nothing(saved: Path, tmp_path: Path) -> None:
    (tmp_path / "half").write_bytes(saved.read_bytes()[:-1])
    trainer, other = new_trainer(resumable_step()), new_trainer(resumable_step())
    trainer.step(*resumable_batch(0))
    other.step(*resumable_batch(0))
    with pytest.raises(ort_rrelu.errors.InvalidValueError, match="damaged"):
        trainer.resume(tmp_path / "half")
    with pytest.raises(ort_rrelu.errors.ModelFileError, match="there is no checkpoint"):
        trainer.resume(tmp_path / "none")
    assert trainer.step(*resumable_batch(1)) == other.step(*resumable_batch(1))


def test_a_safetensors_file_of_something_else_is_refused(tmp_path: Path) -> None:
    safetensors.numpy.save_file({"0.weight": np.zeros(3, np.float32)}, tmp_path / "weights")
    with pytest.raises(ort_rrelu.errors.InvalidValueError, match="not a checkpoint of ort_rrelu"):
        new_trainer(resumable_step()).resume(tmp_path / "weights")


def _changed(what: str) -> onnx.ModelProto:
    """resumable_step as if another model, optimizer or seed had been exported."""
    model = onnx.ModelProto()
    model.CopyFrom(resumable_step())
    if what == "optimizer":
        describe(model, dataclasses.replace(StepModel.of(model).description, optimizer="adam"))
    elif what == "seed":
        node = our_nodes(model)[0]
        next(a for a in node.attribute if a.name == "seed").i += 1
    else:
        (bias,) = (t for t in model.graph.initializer if t.name == "model/6.bias")
        bias.CopyFrom(numpy_helper.from_array(np.zeros(4, np.float32), bias.name))
    return model


@pytest.mark.parametrize(
    ("what", "message"),
    [("optimizer", "another optimizer"), ("seed", "another computation"), ("shape", "other names, shapes")],
)
def test_a_checkpoint_of_another_model_is_refused(saved: Path, what: str, message: str) -> None:
    step = StepModel.of(_changed(what))
    with pytest.raises(ort_rrelu.errors.InvalidValueError, match=f"another model.*{message}"):
        checkpoint.check_identity(saved, checkpoint.read(saved).identity, step.identity())


def test_a_model_with_other_initial_values_takes_it(saved: Path) -> None:
    """They are no part of the computation: the state comes from the checkpoint."""
    model = onnx.ModelProto()
    model.CopyFrom(resumable_step())
    (bias,) = (t for t in model.graph.initializer if t.name == "model/6.bias")
    bias.CopyFrom(numpy_helper.from_array(np.ones(3, np.float32), bias.name))
    trainer, other = new_trainer(model), new_trainer(resumable_step())
    for each in (trainer, other):
        each.resume(saved)
    assert trainer.step(*resumable_batch(1)) == other.step(*resumable_batch(1))


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such permissions")
def test_a_checkpoint_has_the_permissions_of_any_new_file(saved: Path, tmp_path: Path) -> None:
    (tmp_path / "other").touch()
    assert saved.stat().st_mode == (tmp_path / "other").stat().st_mode


def test_a_save_that_fails_leaves_the_last_one(saved: Path, tmp_path: Path, monkeypatch: Any) -> None:
    path = tmp_path / "checkpoint"
    path.write_bytes(saved.read_bytes())

    def full(_tensors: object, written: Path, _metadata: object) -> None:
        written.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(safetensors.numpy, "save_file", full)
    with pytest.raises(OSError, match="No space left"):
        new_trainer(resumable_step()).save(path)
    assert path.read_bytes() == saved.read_bytes()
    assert list(tmp_path.iterdir()) == [path]


def test_without_safetensors_the_error_says_what_to_install(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setitem(sys.modules, "safetensors", None)
    with pytest.raises(ort_rrelu.errors.MissingPackageError, match=r"ort-rrelu\[training\]"):
        new_trainer(resumable_step()).save(tmp_path / "checkpoint")
