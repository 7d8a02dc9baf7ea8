"""The step counter of a seeded module: what may change it, and what it refuses."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import pytest
import torch
from torch import nn

import ort_rrelu.torch
from tests.torch.arrays import normal

_X = normal(4)


def _counted(runs: int) -> ort_rrelu.torch.RReLU:
    module = ort_rrelu.torch.RReLU(seed=1)
    for _ in range(runs):
        module(_X)
    return module


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda m: m.to("meta").to_empty(device="cpu"), 0),
        (lambda m: m.to_empty(device="cpu"), 3),
        (lambda m: m.type(torch.float16), 3),
        (lambda m: m.half(), 3),
        (lambda m: m.to(torch.float64), 3),
        (lambda m: m.eval().train(), 3),
    ],
    ids=["meta", "to_empty", "type", "half", "to", "mode"],
)
def test_counter_survives(change: Callable[[nn.Module], ort_rrelu.torch.RReLU], expected: int) -> None:
    module = change(_counted(3))
    assert module.step is not None
    assert (module.step.dtype, int(module.step)) == (torch.int64, expected)


def test_reset_parameters_begins_again() -> None:
    module = _counted(3)
    module.reset_parameters()
    assert torch.equal(module(_X), _counted(0)(_X))


@pytest.mark.parametrize("step", [1.9, -0.5, "a", True])
def test_step_is_an_integer(step: object) -> None:
    with pytest.raises(TypeError, match=r"step=.* is not an integer"):
        _counted(0)(_X, step=step)


def test_a_counter_that_is_deleted() -> None:
    module = _counted(0)
    del module.step
    with pytest.raises(AttributeError, match="'RReLU' object has no attribute 'step'"):
        module(_X)


def test_step_fits_into_64_bits() -> None:
    with pytest.raises(ValueError, match=r"step=9223372036854775808: it must be from -2\^63 to 2\^63 - 1"):
        _counted(0)(_X, step=2**63)


def test_a_seed_set_later_has_no_counter() -> None:
    module = ort_rrelu.torch.RReLU()
    module.seed = 5
    with pytest.raises(ValueError, match="seed=5 was set after construction"):
        module(_X)


def test_a_single_process_does_not_warn_of_others() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _counted(2)
