"""Training through export_step and Trainer gives what torch gives, with random slopes."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from torch import nn
from torch.nn import functional

from ort_rrelu.graph.nodes import our_nodes
from ort_rrelu.training import assembly, export_step, onnx_graphs, optimizers, tracing
from tests.training.networks import (
    OPTIMIZERS,
    batches,
    build,
    largest_difference,
    new_trainer,
    train_both,
)

_STEPS = 50
_ROUNDING = 5e-6  # relative to the largest number of a tensor; 4e-7 is usual


def _check(
    module: nn.Module, step: onnx.ModelProto, optimizer: torch.optim.Optimizer, count: int = _STEPS
) -> None:
    trainer = new_trainer(step)
    losses = np.array(train_both(module, trainer, optimizer, batches(count)))
    np.testing.assert_allclose(losses[:, 0], losses[:, 1], rtol=2e-5)
    assert largest_difference(module, trainer.state_dict()) < _ROUNDING


@pytest.mark.parametrize(
    ("network", "optimizer"), [("everything", "adamw"), ("shared and frozen", "nesterov")]
)
def test_weights_and_running_statistics_are_torchs(network: str, optimizer: str) -> None:
    module = build(network)
    name, options, torchs = OPTIMIZERS[optimizer]
    step = export_step(module, functional.cross_entropy, batches(1)[0], optimizer=name, **options)
    assert all(node.output[2] for node in our_nodes(step) if len(node.output) > 1)  # reserve, not noise
    _check(module, step, torchs(module.parameters(), **options))


@functools.cache
def _linear_graphs() -> tuple[onnx.ModelProto, onnx.ModelProto]:
    module, (x, y) = tracing.Module(build("linear")), batches(1)[0]
    traced = (
        how(module, functional.cross_entropy, x, y, dynamic_batch=True)
        for how in (tracing.trace_step, tracing.trace_evaluation)
    )
    step, evaluation = (onnx_graphs.to_onnx(t, 0, len(module.tensors)) for t in traced)
    return step, evaluation


@pytest.mark.parametrize(("name", "options", "torchs"), OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_every_optimizer_is_torchs(name: str, options: dict[str, Any], torchs: Any) -> None:
    module = build("linear")
    optimizer = optimizers.make_optimizer(name, options)
    step = assembly.assemble(tracing.Module(module), *_linear_graphs(), name, optimizer)
    _check(module, step, torchs(module.parameters(), **options))


@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_the_learning_rate_follows_a_schedule(name: str) -> None:
    module = build("linear")
    optimizer = optimizers.make_optimizer(name, {})
    step = assembly.assemble(tracing.Module(module), *_linear_graphs(), name, optimizer)
    trainer = new_trainer(step)
    torchs = {"sgd": torch.optim.SGD, "adamw": torch.optim.AdamW}[name](module.parameters(), lr=0.01)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(torchs, 20)
    for x, y in batches(20):
        loss = functional.cross_entropy(module(x), y)
        torchs.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torchs.step()
        actual = trainer.step(x.numpy(), y.numpy(), lr=float(schedule.get_last_lr()[0]))
        assert actual == pytest.approx(loss.item(), rel=2e-5)
        schedule.step()
    assert largest_difference(module, trainer.state_dict()) < _ROUNDING


def test_a_tiny_epsilon_is_not_folded_away() -> None:
    """torch's ONNX optimizer takes + 1e-8 for + 0, which would make the first steps of Adam NaN."""
    module = nn.Sequential(nn.Flatten(), nn.Linear(128, 10, bias=False))
    x = torch.zeros(4, 2, 8, 8)  # no gradient at all: 0 / (0 + eps)
    x[0, 0, 0, 0] = 1
    y = torch.arange(4)
    step = export_step(module, functional.cross_entropy, (x, y), optimizer="adam")
    trainer = new_trainer(step)
    trainer.step(x.numpy(), y.numpy())
    torchs = torch.optim.Adam(module.parameters())
    functional.cross_entropy(module(x), y).backward()  # type: ignore[no-untyped-call]
    torchs.step()
    assert largest_difference(module, trainer.state_dict()) < _ROUNDING
