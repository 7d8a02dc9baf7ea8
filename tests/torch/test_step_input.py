"""export(step_input=True): nodes, branches and loops of torch draw with the step that is fed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch._higher_order_ops import scan, while_loop

import ort_rrelu
from ort_rrelu import reference
from ort_rrelu.graph.nodes import our_nodes
from tests.bits import assert_same_bits
from tests.onnx_models import Array, run, session
from tests.torch.arrays import array, normal
from tests.torch.constructs import CONSTRUCTS, Applied
from tests.torch.exports import both_exporters, drawn_by_torch, export_quietly, train_seeds

_X = normal(3, 5)
_BOUNDS = (0.5, 1.5)
_STEPS = (7, 0, -1, 2**40)


@both_exporters
@pytest.mark.parametrize("construct", ["nested modules", "ours and torch's", "rrelu_with_noise_functional"])
def test_step_reaches_every_train_node(construct: str, dynamo: bool) -> None:
    module = CONSTRUCTS[construct]().train()
    model = export_quietly(module, (_X,), seed=11, step_input=True, dynamo=dynamo)
    assert {node.input[1] for node in our_nodes(model)} == {"step"}
    of = session(model)
    for step in _STEPS:
        expected = drawn_by_torch(module, train_seeds(model), step, _X)
        for actual, y in zip(run(of, array(_X), np.array(step)), expected, strict=True):
            assert_same_bits(actual, y)


@both_exporters
def test_eval_model_has_no_step(dynamo: bool) -> None:
    model = export_quietly(nn.RReLU().eval(), (_X,), step_input=True, dynamo=dynamo)
    assert len(model.graph.input) == 1


@both_exporters
def test_a_model_with_an_input_named_step_is_refused(dynamo: bool) -> None:
    names: dict[str, Any] = {"input_names": ["step"]}
    with pytest.raises(ort_rrelu.Error, match="value named 'step'"):
        export_quietly(nn.RReLU().train(), (_X,), step_input=True, dynamo=dynamo, **names)


def _branches() -> nn.Module:
    first, second = nn.RReLU(*_BOUNDS), nn.RReLU(*_BOUNDS)
    return Applied(
        lambda x, _: torch.cond(x.sum() > 0, lambda t: first(t) * 1, lambda t: second(t) * 1, (x,))
    )


def _while() -> nn.Module:
    rrelu = nn.RReLU(*_BOUNDS)

    def body(i: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        return i + 1, rrelu(x)

    return Applied(lambda x, _: while_loop(lambda i, _: i < 3, body, (torch.tensor(0), x))[1])  # type: ignore[no-untyped-call]


def _scan() -> nn.Module:
    rrelu = nn.RReLU(*_BOUNDS)

    def row(count: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        return count + 1, rrelu(x)

    return Applied(lambda x, _: scan(row, torch.zeros(()), x)[1])


def _drawn(x: Array, seed: int, step: int) -> Array:
    return np.asarray(reference.rrelu(x, *_BOUNDS, True, seed=seed, step=step))


def _by_branch(x: Array, seeds: list[int], step: int) -> Array:
    return _drawn(x, seeds[0 if x.sum() > 0 else 1], step)


def _by_iteration(x: Array, seeds: list[int], step: int) -> Array:
    for iteration in range(3):
        x = _drawn(x, seeds[0], step + (iteration << 32))
    return x


def _by_row(x: Array, seeds: list[int], step: int) -> Array:
    return np.stack([_drawn(row, seeds[0], step + (i << 32)) for i, row in enumerate(x)])


@pytest.mark.parametrize(
    ("make", "expected"),
    [(_branches, _by_branch), (_while, _by_iteration), (_scan, _by_row)],
    ids=["cond", "while_loop", "scan"],
)
def test_control_flow_of_torch(
    make: Callable[[], nn.Module], expected: Callable[[Array, list[int], int], Array]
) -> None:
    model = export_quietly(make().train(), (_X,), seed=11, step_input=True)
    of, seeds = session(model), train_seeds(model)
    for step in _STEPS:
        for x in (_X.abs() + _X, -_X.abs()):
            assert_same_bits(run(of, array(x), np.array(step))[0], expected(array(x), seeds, step))
