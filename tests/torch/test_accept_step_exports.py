"""accept_step and exports: the model draws what the network draws, and an export never takes a step along."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ort_rrelu.graph.nodes import our_nodes
from ort_rrelu.node_attributes import seed_of_place
from ort_rrelu.torch import RReLU, accept_step
from tests.bits import assert_same_bits
from tests.onnx_models import run, session
from tests.torch.arrays import array, normal
from tests.torch.exports import both_exporters, export_quietly, train_seeds
from tests.torch.step_networks import SEEDS, Net

_PLACES = [SEEDS[0], seed_of_place(SEEDS[0], 1), SEEDS[1]]
_X = normal(5, 7)


@both_exporters
def test_shared_modules_of_a_model_with_a_step_input_draw_alike(dynamo: bool) -> None:
    net = accept_step(Net())
    model = export_quietly(net, (_X,), step_input=True, dynamo=dynamo)
    assert train_seeds(model) == _PLACES
    of = session(model)
    for step in (7, 0, -1, 2**40):
        assert_same_bits(run(of, array(_X), np.array(step))[0], array(net(_X, step=step)))


class _Hands(nn.Module):
    """Takes the step as an input of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.net = accept_step(Net())

    def forward(self, x: Tensor, step: Tensor) -> Tensor:
        y: Tensor = self.net(x, step=step)
        return y


_ROWS = torch.export.Dim("rows", min=2)


@both_exporters
@pytest.mark.parametrize("scalar", [True, False], ids=["scalar", "rows"])
def test_a_step_that_the_model_hands_on(scalar: bool, dynamo: bool) -> None:
    module, example = _Hands(), torch.tensor(3) if scalar else torch.arange(5)
    shapes: dict[str, Any] = {
        "dynamic_shapes": ({0: _ROWS}, {} if scalar else {0: _ROWS}),
    }
    if not dynamo:
        shapes = {"dynamic_axes": {"x": {0: "rows"}} | ({} if scalar else {"step": {0: "rows"}})}
    model = export_quietly(module, (_X, example), dynamo=dynamo, input_names=["x", "step"], **shapes)
    assert train_seeds(model) == _PLACES
    of = session(model)
    for rows in (5, 2, 9):
        x = normal(rows, 7)
        steps = torch.tensor(rows) if scalar else torch.arange(rows) * 3 - 4
        assert_same_bits(run(of, array(x), array(steps))[0], array(module(x, steps)))


@pytest.mark.parametrize("strict", [True, False])
def test_exported_program_hands_steps_on(strict: bool) -> None:
    module = _Hands()
    dynamic = ({0: _ROWS}, {0: _ROWS})
    program = torch.export.export(module, (_X, torch.arange(5)), dynamic_shapes=dynamic, strict=strict)
    for rows in (5, 2, 9):
        x, steps = normal(rows, 7), torch.arange(rows) * 3 - 4
        assert_same_bits(array(program.module()(x, steps)), array(module(x, steps)))


@both_exporters
def test_an_export_inside_of_a_forward_takes_no_step_along(dynamo: bool) -> None:
    """The step of the forward would be a constant of the exported model."""
    inner, models = Net(), []

    class Exports(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            models.append(export_quietly(inner, (x,), dynamo=dynamo))
            y: Tensor = inner(x)
            return y

    accept_step(Exports())(_X, step=torch.arange(5))
    (model,) = models
    assert [list(node.input[1:]) for node in our_nodes(model)] == [[]] * 3
    assert train_seeds(model) == _PLACES


@both_exporters
def test_explicit_steps_are_places_in_both(dynamo: bool) -> None:
    """Where a call has a step of its own, the later calls keep their places."""

    class Mixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.act = RReLU(seed=3)

        def forward(self, x: Tensor) -> Tensor:
            y: Tensor = self.act(self.act(x, step=8) * 2)
            return y

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        net = accept_step(Mixed())
        model = export_quietly(net, (_X,), step_input=True, dynamo=dynamo)
    assert train_seeds(model) == [3, seed_of_place(3, 1)]
    assert_same_bits(run(session(model), array(_X), np.array(5))[0], array(net(_X, step=5)))
