"""A step for each sample in a training: slopes are those of torch and of the specification, in any batch."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import ort_rrelu
from ort_rrelu.arguments import Array
from ort_rrelu.torch import RReLU, accept_step
from ort_rrelu.training import Trainer
from tests.bits import assert_same_bits
from tests.training.networks import (
    OPTIMIZERS,
    batches,
    build,
    largest_difference,
    new_trainer,
    resumable_batch,
    resumable_step,
)
from tests.training.samples import batch_of, drawn, export_rows, sample_step, slopes

_ROUNDING = 5e-6  # as in test_parity
_NUMBERS = np.array([0, 7, 7, -1, 2**32, 2**63 - 1, -(2**63), 12])


def test_every_node_draws_each_sample_with_its_number() -> None:
    """Dropout too: what it draws is slopes for -1 everywhere."""
    seen = drawn(sample_step(), *batch_of(8), _NUMBERS)
    assert [noise.shape for _, noise in seen] == [(8, 16)] * 3
    for node, noise in seen:
        expected = slopes(node, noise.shape, _NUMBERS, np.float32)
        assert_same_bits(noise[noise != 1], expected[noise != 1])
        assert (noise != 1).mean() > 0.3
    assert min((noise != 1).mean() for _, noise in seen) < 0.9 < max((noise != 1).mean() for _, noise in seen)


def test_torch_draws_the_same_slopes() -> None:
    x = torch.full((8, 16), -1.0)
    y = RReLU(0.1, 1.5, seed=5)(x, step=torch.from_numpy(_NUMBERS))
    noise = next(noise for node, noise in drawn(sample_step(), *batch_of(8), _NUMBERS))
    assert_same_bits(noise[noise != 1], -y.numpy()[noise != 1])


@pytest.mark.parametrize("rows", [slice(0, 3), slice(3, 8), slice(4, 5), slice(None, None, -1)], ids=str)
def test_a_sample_draws_the_same_in_another_batch(rows: slice) -> None:
    """BatchNorm gives other activations there, so that some are negative in one of the batches only."""
    x, y = batch_of(8)
    whole = drawn(sample_step(), x, y, _NUMBERS)
    part = drawn(sample_step(), x[rows], y[rows], _NUMBERS[rows])
    for (_, noise), (_, alone) in zip(whole, part, strict=True):
        both = (noise[rows] != 1) & (alone != 1)
        assert both.any()
        assert_same_bits(alone[both], noise[rows][both])


def _train_in_torch(
    net: nn.Module, optimizer: torch.optim.Optimizer, x: Tensor, y: Tensor, step: Tensor
) -> float:
    loss = functional.cross_entropy(net(x, step=step), y)
    optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    return loss.item()


@pytest.mark.parametrize("counting", [True, False])
def test_weights_are_torchs_with_the_same_steps(counting: bool) -> None:
    net = accept_step(build("everything"))
    _, options, torchs = OPTIMIZERS["adamw"]
    trainer = new_trainer(_everything())
    optimizer, random = torchs(net.parameters(), **options), np.random.default_rng(2)
    first = 0
    for x, y in batches(20):
        numbers = np.arange(first, first + len(x))
        first += len(x)
        numbers = numbers if counting else random.integers(-(2**63), 2**63 - 1, len(x))
        loss = _train_in_torch(net, optimizer, x, y, torch.from_numpy(numbers))
        actual = trainer.step(x.numpy(), y.numpy(), step=None if counting else numbers)
        assert actual == pytest.approx(loss, rel=2e-5)
    assert largest_difference(net, trainer.state_dict()) < _ROUNDING
    assert trainer.next_sample == first or not counting


@functools.cache
def _everything() -> onnx.ModelProto:
    name, options, _ = OPTIMIZERS["adamw"]
    return export_rows(build("everything"), batches(1)[0], optimizer=name, **options)


class _Twice(nn.Module):
    """One RReLU at two places, and one in eval mode whose input has no samples."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last, self.activation = nn.Linear(8, 16), nn.Linear(16, 3), RReLU(seed=11)
        self.fixed, self.table = RReLU(seed=12).eval(), nn.Parameter(torch.randn(5, 16))

    def forward(self, x: Tensor) -> Tensor:
        x = self.activation(self.activation(self.first(x)) - 0.125)
        y: Tensor = self.last(x + self.fixed(self.table).sum(0))
        return y


def test_a_fixed_batch_in_double() -> None:
    torch.manual_seed(3)
    net = accept_step(_Twice().double())
    data = [
        (torch.from_numpy(x).double(), torch.from_numpy(y)) for x, y in (batch_of(6, i) for i in range(8))
    ]
    with pytest.warns(UserWarning, match="seed=11 is called at several places"):
        step = export_rows(net, data[0], dynamic_batch=False, lr=0.1)
    trainer, optimizer = new_trainer(step), torch.optim.SGD(net.parameters(), lr=0.1)
    for i, (x, y) in enumerate(data):
        numbers = torch.arange(6) * 3 + 100 * i
        loss = _train_in_torch(net, optimizer, x, y, numbers)
        assert trainer.step(x.numpy(), y.numpy(), step=numbers) == pytest.approx(loss, rel=1e-12)
    assert largest_difference(net, trainer.state_dict()) < 1e-11
    with pytest.raises(ValueError, match=r"x has shape \[5, 8\]: it must be \[6, 8\]"):
        trainer.step(data[0][0].numpy()[:5], data[0][1].numpy()[:5])


def _losses(trainer: Trainer, *steps: Any) -> list[float]:
    """Of one batch of 4, whose weights stay: they differ by what is drawn."""
    return [trainer.step(*batch_of(4), step=step, lr=0.0) for step in steps]


def test_samples_are_counted_above_all_that_were_drawn() -> None:
    trainer = new_trainer(sample_step())
    assert trainer.next_sample == 0
    counted = _losses(trainer, None, None)
    assert trainer.next_sample == 8
    given = _losses(trainer, [0, 1, 2, 3], [4, 5, 6, 7])
    assert given == counted
    assert trainer.next_sample == 8  # none of them was new
    _losses(trainer, [20, -5, 3, 4])
    assert trainer.next_sample == 21
    after = _losses(trainer, None)
    assert (trainer.next_sample, trainer.steps) == (25, 6)
    assert _losses(trainer, [21, 22, 23, 24]) == after
    assert len({*counted, *after}) == 3


def test_counting_ends_where_steps_end() -> None:
    trainer = new_trainer(sample_step())
    _losses(trainer, [0, 1, 2, 2**63 - 5])
    assert _losses(trainer, None) == _losses(
        trainer, np.arange(2**63 - 4, 2**63, dtype=np.uint64).astype(int)
    )
    assert trainer.next_sample == 2**63
    with pytest.raises(ort_rrelu.errors.InvalidValueError, match=r"next_sample=9223372036854775808.*step="):
        trainer.step(*batch_of(1))
    _losses(trainer, [1, 2, 3, 4])


@pytest.mark.parametrize(
    ("step", "error", "message"),
    [
        (3, ValueError, r"step has shape \[\]: it must be \[4\], a number for each row of x"),
        ([3], ValueError, r"step has shape \[1\]: it must be \[4\]"),
        ([[1], [2], [3], [4]], ValueError, r"step has shape \[4, 1\]"),
        (np.arange(5), ValueError, r"step has shape \[5\]"),
        ([0.0, 1.0, 2.0, 3.0], TypeError, "step is of type float64: it must be"),
        (np.arange(4, dtype=np.uint64), TypeError, "step is of type uint64"),
        ([True] * 4, TypeError, "step is of type bool"),
        ([0, 1, 2, 2**63], TypeError, "step is of type"),
        ([0, 1, 2, -(2**63) - 1], TypeError, "step is of type"),
        (["a"] * 4, TypeError, "step is of type"),
    ],
)
def test_steps_are_checked(step: Any, error: type[Exception], message: str) -> None:
    trainer = new_trainer(sample_step())
    before = trainer.state_dict()
    with pytest.raises(error, match=message) as caught:
        trainer.step(*batch_of(4), step=step)
    assert isinstance(caught.value, ort_rrelu.Error)
    assert (trainer.steps, trainer.next_sample) == (0, 0)
    np.testing.assert_equal(trainer.state_dict(), before)


def test_steps_of_other_integers_are_taken() -> None:
    expected = _losses(new_trainer(sample_step()), [3, 2, 1, 0])
    others: list[Array] = [np.array([3, 2, 1, 0], kind) for kind in (np.int32, np.uint8, ">i8")]
    assert _losses(new_trainer(sample_step()), *others) == expected * 3


def test_a_model_of_one_step_for_the_batch_takes_none() -> None:
    trainer = new_trainer(resumable_step())
    assert trainer.next_sample is None
    with pytest.raises(TypeError, match=r'one step for the whole batch.*step_input="rows"'):
        trainer.step(*resumable_batch(0), step=np.arange(16))
    assert trainer.steps == 0


def test_what_fails_counts_nothing() -> None:
    trainer = new_trainer(sample_step())
    x, y = batch_of(4)
    with pytest.raises(ort_rrelu.errors.DivergedError):
        trainer.step(x * np.inf, y)
    with pytest.raises(ort_rrelu.errors.DivergedError):
        trainer.step(x * np.inf, y, step=[5, 6, 7, 8])
    assert (trainer.steps, trainer.next_sample) == (0, 0)


def test_a_loaded_state_dict_begins_to_count_again() -> None:
    trainer = new_trainer(sample_step())
    first = _losses(trainer, None)
    trainer.load_state_dict(new_trainer(sample_step()).state_dict())
    assert (trainer.steps, trainer.next_sample) == (0, 0)
    assert _losses(trainer, None) == first
