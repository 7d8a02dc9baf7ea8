"""Networks in which a draw is not known to be of the samples take no step for each sample; arguments."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from ort_rrelu import errors
from ort_rrelu.torch import RReLU
from ort_rrelu.training import export_step
from tests.training.samples import export_rows

_X, _Y = torch.randn(6, 8), torch.zeros(6, dtype=torch.int64)


class _Around(nn.Module):
    """An RReLU between two functions."""

    def __init__(self, before: Callable[[Tensor], Tensor], after: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.first, self.last, self.rrelu = nn.Linear(8, 8), nn.Linear(8, 3), RReLU(seed=1)
        self.before, self.after = before, after

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.last(self.after(self.rrelu(self.before(self.first(x)))))
        return y


def _same(x: Tensor) -> Tensor:
    return x


class _OwnStep(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear, self.rrelu = nn.Linear(8, 3), RReLU(seed=1)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.rrelu(self.linear(x), step=7)
        return y


class _DrawnMean(nn.Module):
    """One draw for all samples."""

    def __init__(self) -> None:
        super().__init__()
        self.linear, self.rrelu = nn.Linear(8, 3), RReLU(seed=1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.linear(x)
        y: Tensor = x + self.rrelu(x.mean(0, keepdim=True))
        return y


class _NoisyWeight(nn.Module):
    """Dropout of a weight: one mask for all samples."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(3, 8))

    def forward(self, x: Tensor) -> Tensor:
        return functional.linear(x, functional.dropout(self.weight, 0.2))


_REFUSED: dict[str, tuple[nn.Module, str]] = {
    "features first": (_Around(lambda x: x.T, lambda x: x.T), "not one for each row of its X"),
    "folded": (_Around(lambda x: x.reshape(-1, 4), lambda x: x.reshape(-1, 8)), "not one for each row"),
    "another order": (_Around(lambda x: x.flip(0), _same), "works along the batch"),
    "rolled": (_Around(lambda x: x.roll(1, 0), _same), "computes with the number of rows"),
    "sorted": (_Around(lambda x: x.sort(0).values, _same), "TopK node"),
    "picked": (_Around(lambda x: x[x[:, 0].argsort()], _same), "TopK node"),
    "running sums": (_Around(lambda x: x.cumsum(0), _same), "works along the batch"),
    "samples by samples": (_Around(lambda x: (x @ x.T) @ x, _same), "multiplies rows with rows"),
    "one X for all": (_DrawnMean(), "it has no rows"),
    "a step of its own": (_OwnStep(), "has a step of its own in the model"),
    "a mask of a weight": (_NoisyWeight(), "it has no rows"),
}


# A fixed batch is proved like an open one, so that few are tried.
@pytest.mark.parametrize(
    ("name", "dynamic"), [*((name, True) for name in _REFUSED), ("rolled", False), ("one X for all", False)]
)
def test_draws_of_something_else_than_samples(name: str, dynamic: bool, tmp_path: Path) -> None:
    module, message = _REFUSED[name]
    with pytest.raises(errors.InvalidValueError, match=r"no step for each sample: .*RRelu node") as caught:
        export_rows(module, (_X, _Y), f=tmp_path / "step.onnx", dynamic_batch=dynamic)
    assert message in str(caught.value)
    assert "step_input=True" in str(caught.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "before",
    [
        lambda x: x - x.mean(0),
        lambda x: functional.batch_norm(x, None, None, training=True),
        lambda x: x.reshape(-1, 2, 4).transpose(1, 2).flatten(1),
        lambda x: functional.dropout(x, 0.5) + torch.rand_like(x),
    ],
    ids=["mean", "batch norm", "folded and back", "noise"],
)
def test_what_all_samples_give_together_may_reach_each(before: Any) -> None:
    step = export_rows(_Around(before, _same), (_X, _Y))
    assert "sample_steps" in {value.name for value in step.graph.input}


def _export(**options: Any) -> None:
    given: dict[str, Any] = {"model": nn.Linear(8, 3), "example_batch": (_X, _Y), "step_input": "rows"}
    export_step(**given | {"loss_fn": functional.cross_entropy} | options)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"step_input": False}, errors.InvalidValueError, "step_input=False: it must be True or 'rows'"),
        ({"step_input": "row"}, errors.InvalidValueError, "step_input='row': it must be True or 'rows'"),
        ({"step_input": 1}, errors.InvalidTypeError, "step_input=1: it must be True or 'rows'"),
        ({"step_input": None}, errors.InvalidTypeError, "step_input=None"),
        (
            {"example_batch": (_X, _Y[:2]), "dynamic_batch": False},
            *(errors.InvalidValueError, "x has 6 rows and y 2.*step_input=True and dynamic_batch=False"),
        ),
        (
            {"example_batch": (_X[:1], _Y[:1]), "dynamic_batch": False},
            *(errors.InvalidValueError, "x has one row.*step_input=True gives the row its step"),
        ),
    ],
)
def test_arguments_are_checked(options: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        _export(**options)
