"""Trainer: state, evaluation, inference, and what it refuses."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import ort_rrelu
from ort_rrelu.training import Trainer, export_step
from ort_rrelu.training.step_model import StepModel
from tests.onnx_models import rrelu_model
from tests.training.networks import new_trainer, resumable_batch, resumable_step


@functools.cache
def _module() -> nn.Module:
    """The module of resumable_step, in eval mode."""
    return nn.Sequential(
        *(nn.Linear(8, 16), nn.BatchNorm1d(16), ort_rrelu.torch.RReLU(), nn.Dropout(0.2)),
        *(nn.Linear(16, 16), nn.RReLU(), nn.Linear(16, 3)),
    ).eval()


def _trained(steps: int) -> Trainer:
    trainer = new_trainer(resumable_step())
    for step in range(steps):
        trainer.step(*resumable_batch(step))
    return trainer


def test_torch_loads_the_state_and_evaluates_to_the_same(tmp_path: Path) -> None:
    trainer = _trained(30)
    module = _module()
    module.load_state_dict({n: torch.from_numpy(v) for n, v in trainer.state_dict().items()}, strict=True)
    x, y = resumable_batch(100)
    with torch.no_grad():
        output = module(torch.from_numpy(x))
    loss = functional.cross_entropy(output, torch.from_numpy(y)).item()
    np.testing.assert_allclose(trainer.predict(x), output, atol=1e-5)
    assert trainer.evaluate(x, y) == pytest.approx(loss, rel=1e-5)
    trainer.export_inference(tmp_path / "net.onnx")
    plain = onnxruntime.InferenceSession(tmp_path / "net.onnx")  # without the library
    np.testing.assert_allclose(plain.run(["output"], {"x": x})[0], output, atol=1e-5)


def test_it_learns() -> None:
    trainer = new_trainer(resumable_step())
    before = trainer.evaluate(*resumable_batch(1000))
    for step in range(200):
        trainer.step(*resumable_batch(step))
    assert trainer.evaluate(*resumable_batch(1000)) < before / 3
    assert (trainer.predict(resumable_batch(1000)[0]).argmax(1) == resumable_batch(1000)[1]).mean() > 0.8


def test_evaluation_changes_nothing() -> None:
    trainer, other = _trained(3), _trained(3)
    trainer.evaluate(*resumable_batch(7))
    trainer.predict(resumable_batch(7)[0])
    trainer.export_inference()
    assert trainer.steps == 3
    assert trainer.step(*resumable_batch(3)) == other.step(*resumable_batch(3))


def test_a_state_dict_is_a_copy() -> None:
    trainer = _trained(1)
    before = trainer.state_dict()
    kept = {name: value.copy() for name, value in before.items()}
    for step in range(1, 4):
        trainer.step(*resumable_batch(step))
    for name, value in kept.items():
        np.testing.assert_array_equal(before[name], value)


def test_a_loaded_state_dict_begins_a_new_training() -> None:
    trainer = _trained(4)
    trainer.load_state_dict(_trained(0).state_dict())
    assert trainer.steps == 0
    new = new_trainer(resumable_step())
    for step in range(3):
        assert trainer.step(*resumable_batch(step)) == new.step(*resumable_batch(step))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("0.weight"), "'0.weight' is missing"),
        (lambda s: s.update(other=np.zeros(3)), "'other' is unknown"),
        (
            lambda s: s.update({"0.weight": np.zeros((8, 16), np.float32)}),
            r"must be float32 and \[16, 8\]",
        ),
        (lambda s: s.update({"0.bias": np.zeros(16)}), "'0.bias' has dtype float64"),
    ],
)
def test_a_foreign_state_dict_is_refused(change: Callable[[dict[str, Any]], None], message: str) -> None:
    trainer = _trained(2)
    state = trainer.state_dict()
    change(state)
    with pytest.raises(ort_rrelu.errors.InvalidValueError, match=message):
        trainer.load_state_dict(state)
    assert trainer.steps == 2


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e38])
def test_a_step_that_diverges_leaves_the_state_before_it(value: float) -> None:
    trainer, other = _trained(5), _trained(5)
    x, y = resumable_batch(5)
    x[0, 0] = value
    with pytest.raises(ort_rrelu.errors.DivergedError, match="step 5: the loss is"):
        trainer.step(x, y)
    assert trainer.steps == 5
    for name, expected in other.state_dict().items():
        np.testing.assert_array_equal(trainer.state_dict()[name], expected)
    assert trainer.step(*resumable_batch(5)) == other.step(*resumable_batch(5))


def test_a_learning_rate_that_overflows_the_weights_diverges() -> None:
    trainer = _trained(1)
    with pytest.raises(ort_rrelu.errors.DivergedError, match="step 1"):
        trainer.step(*resumable_batch(1), lr=1e300)


_X, _Y = resumable_batch(0)


@pytest.mark.parametrize(
    ("batch", "error", "message"),
    [
        ((_X.astype(np.float64), _Y), TypeError, "x has dtype float64: it must be float32"),
        ((_X, _Y.astype(np.int32)), TypeError, "y has dtype int32: it must be int64"),
        ((torch.zeros(4, 8, requires_grad=True), _Y), TypeError, "x is of type Tensor, and no array: "),
        ((_X[:, :7], _Y), ValueError, r"x has shape \[16, 7\]: it must be \[batch=16, 8\]"),
        ((_X[0], _Y), ValueError, r"x has shape \[8\]"),
        ((_X, _Y[:5]), ValueError, r"y has shape \[5\]: it must be \[batch=16\]"),
        ((_X[:0], _Y[:0]), ValueError, r"x has shape \[0, 8\]"),
    ],
)
def test_a_batch_of_another_shape_or_dtype_is_refused(
    batch: tuple[Any, Any], error: type[Exception], message: str
) -> None:
    trainer = new_trainer(resumable_step())
    for call in (trainer.step, trainer.evaluate):
        with pytest.raises(error, match=message) as caught:
            call(*batch)
        assert isinstance(caught.value, ort_rrelu.Error)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"momentum": 0.5}, "momentum: this model takes no such hyperparameter, but lr, eps"),
        ({"lr": -1}, "lr=-1: it must be 0 or more"),
        ({"lr": float("nan")}, "lr=nan"),
        ({"lr": "fast"}, "lr='fast': it must be a number"),
    ],
)
def test_hyperparameters_are_checked(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ort_rrelu.Error, match=message):
        new_trainer(resumable_step()).step(_X, _Y, **given)


def test_a_model_that_is_no_step_is_refused(tmp_path: Path) -> None:
    onnx.save(rrelu_model(), tmp_path / "net.onnx")
    with pytest.raises(ort_rrelu.errors.InvalidValueError, match="not a training step"):
        Trainer(tmp_path / "net.onnx")
    with pytest.raises(ort_rrelu.errors.ModelFileError):
        Trainer(tmp_path / "none.onnx")


def _one_hot_loss(output: Tensor, y: Tensor) -> Tensor:
    return (output - torch.zeros_like(output).scatter(1, y[:, None], 1.0)).square().mean()


def _picked_loss(output: Tensor, y: Tensor) -> Tensor:
    return output.index_select(1, y).square().mean()


@pytest.mark.parametrize("label", [-1, 3])
@pytest.mark.parametrize("loss_fn", [functional.cross_entropy, _one_hot_loss, _picked_loss])
def test_a_label_outside_of_the_classes_is_refused(loss_fn: Any, label: int) -> None:
    """ONNX would count a negative one from the last class, and train it."""
    example = torch.from_numpy(_X), torch.from_numpy(_Y)
    trainer = new_trainer(export_step(nn.Linear(8, 3), loss_fn, example))
    before = trainer.state_dict()
    wrong = _Y % 3
    trainer.evaluate(_X, wrong)
    wrong[5] = label
    for call in (trainer.step, trainer.evaluate):
        with pytest.raises(ort_rrelu.errors.InvalidValueError, match="below 0 or too large"):
            call(_X, wrong)
    assert trainer.steps == 0
    np.testing.assert_equal(trainer.state_dict(), before)


def test_ignored_labels_are_no_error() -> None:
    x, y = torch.from_numpy(_X), torch.from_numpy(_Y % 3)
    y[::2] = -100
    module = nn.Linear(8, 3)
    trainer = new_trainer(export_step(module, functional.cross_entropy, (x, y)))
    expected = functional.cross_entropy(module(x), y).item()
    assert trainer.step(_X, y.numpy()) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("index", [-1, 9])
def test_an_index_outside_of_an_embedding_is_refused(index: int) -> None:
    words, labels = torch.zeros(4, 5, dtype=torch.int64), torch.zeros(4, dtype=torch.int64)
    module = nn.Sequential(nn.Embedding(9, 2), nn.Flatten(), nn.Linear(10, 3))
    trainer = new_trainer(export_step(module, functional.cross_entropy, (words, labels)))
    trainer.step(words, labels)
    words[1, 2] = index
    for call in (lambda: trainer.step(words, labels), lambda: trainer.predict(words)):
        with pytest.raises(ort_rrelu.errors.InvalidValueError, match="below 0 or too large"):
            call()


def test_a_state_dict_is_a_mapping() -> None:
    with pytest.raises(ort_rrelu.errors.InvalidTypeError, match="state_dict is a list"):
        _trained(0).load_state_dict([1])  # type: ignore[arg-type]


def test_a_fixed_batch_is_fixed() -> None:
    module = nn.Linear(8, 3)
    example = torch.zeros(4, 8), torch.zeros(4, dtype=torch.int64)
    trainer = new_trainer(export_step(module, functional.cross_entropy, example, dynamic_batch=False))
    trainer.step(_X[:4], _Y[:4])
    with pytest.raises(ValueError, match=r"x has shape \[16, 8\]: it must be \[4, 8\]"):
        trainer.step(_X, _Y)


def test_no_state_is_written_where_it_is_read() -> None:
    """The runtime would not notice, and the weights would be silently wrong."""
    trainer = _trained(2)
    for read, write in ((trainer._now, trainer._after), (trainer._after, trainer._now)):
        for name in StepModel.of(resumable_step()).changed:
            assert read[name].data_ptr() != write[name].data_ptr()
