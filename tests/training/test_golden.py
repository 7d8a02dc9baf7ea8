"""Step models and checkpoints that earlier versions wrote: resumed today (tests/golden)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from ort_rrelu.training import Trainer
from tests.golden.cases import CHECKPOINT, STEP_MODEL, arrays, file
from tests.onnx_models import Array

# Matrix products round as the processor's instructions add; the slopes do not depend on it.
_ROUNDING = 2e-5


@pytest.fixture(params=["training.zip", "training_rows.zip"])
def archive(request: pytest.FixtureRequest) -> str:
    """A step for the whole batch, as 0.1.0 has it alone; a step for each sample."""
    name: str = request.param
    return name


@pytest.fixture
def facts(archive: str) -> dict[str, Array]:
    return arrays(archive, "facts.npz")


@pytest.fixture
def trainer(archive: str, tmp_path: Path) -> Trainer:
    """Resumed."""
    for entry in (STEP_MODEL, CHECKPOINT):
        (tmp_path / entry).write_bytes(file(archive, entry))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    resumed = Trainer(tmp_path / STEP_MODEL, options)
    resumed.resume(tmp_path / CHECKPOINT)
    return resumed


def _assert_near(trainer: Trainer, facts: dict[str, Array], when: str) -> None:
    for name, value in trainer.state_dict().items():
        expected = facts[f"{when} {name}"]
        assert np.abs(value - expected).max() <= _ROUNDING * max(np.abs(expected).max(), 0.1), name


def test_a_checkpoint_is_read_to_the_bit(trainer: Trainer, facts: dict[str, Array]) -> None:
    assert trainer.steps == facts["steps"]
    assert trainer.next_sample == facts.get("next sample")
    for name, value in trainer.state_dict().items():
        np.testing.assert_array_equal(value, facts[f"saved {name}"], strict=True)
    np.testing.assert_allclose(trainer.predict(facts["x 0"]), facts["predicted"], rtol=1e-4, atol=1e-5)


def test_a_training_goes_on_where_it_stopped(trainer: Trainer, facts: dict[str, Array]) -> None:
    """With other slopes, masks or moments the losses would be apart by a hundredth and more."""
    numbers = range(trainer.steps, len(facts["losses"]))
    losses = [trainer.step(facts[f"x {number}"], facts[f"y {number}"]) for number in numbers]
    np.testing.assert_allclose(losses, facts["losses"][-len(losses) :], rtol=_ROUNDING)
    _assert_near(trainer, facts, "after")


def test_a_training_from_the_beginning(archive: str, facts: dict[str, Array], tmp_path: Path) -> None:
    (tmp_path / STEP_MODEL).write_bytes(file(archive, STEP_MODEL))
    trainer = Trainer(tmp_path / STEP_MODEL)
    losses = [trainer.step(facts[f"x {n}"], facts[f"y {n}"]) for n in range(facts["steps"])]
    np.testing.assert_allclose(losses, facts["losses"][: len(losses)], rtol=_ROUNDING)
    _assert_near(trainer, facts, "saved")


def test_an_exported_network_without_the_library(archive: str, facts: dict[str, Array]) -> None:
    session = onnxruntime.InferenceSession(file(archive, "inference.onnx"))
    predicted = session.run(None, {"x": facts["x 0"]})[0]
    np.testing.assert_allclose(predicted, facts["predicted"], rtol=1e-4, atol=1e-5)
