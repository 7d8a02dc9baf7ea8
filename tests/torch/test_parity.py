"""ort_rrelu.torch.RReLU and its exported model: call k and run k agree to the last bit."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import ort_rrelu.torch
from ort_rrelu.torch import RReLU
from tests.bits import assert_same_bits
from tests.onnx_models import run, session, step_of
from tests.torch.arrays import TORCH_DTYPES, array, normal
from tests.torch.constructs import Parallel
from tests.torch.exports import both_exporters, export_quietly, node_attributes, train_seeds

_SEEDS = (3, 4)


class _TwoRReLUs(nn.Module):
    """Takes and gives float64, which holds every value of the other types."""

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self.dtype = dtype
        self.first, self.second = RReLU(-0.5, 0.5, seed=_SEEDS[0]), RReLU(seed=_SEEDS[1])

    def forward(self, x: Tensor, step: int | None = None) -> Tensor:
        y: Tensor = self.second(self.first(x.to(self.dtype), step=step), step=step)
        return y.to(torch.float64)


every_dtype = pytest.mark.parametrize("dtype", TORCH_DTYPES.values(), ids=str)


@every_dtype
@both_exporters
def test_calls_equal_runs(dtype: torch.dtype, dynamo: bool) -> None:
    module, x = _TwoRReLUs(dtype), normal(3, 5, 7).to(dtype).double()
    of = session(export_quietly(module, (x,), dynamo=dynamo))
    drawn = []
    for _ in range(4):
        drawn.append(array(module(x)))
        assert_same_bits(run(of, array(x))[0], drawn[-1])
    assert len({y.tobytes() for y in drawn}) == len(drawn)


@every_dtype
@both_exporters
def test_named_steps_equal_fed_steps(dtype: torch.dtype, dynamo: bool) -> None:
    module, x = _TwoRReLUs(dtype), normal(3, 5, 7).to(dtype).double()
    model = export_quietly(module, (x,), dynamo=dynamo, step_input=True)
    of = session(model)
    for step in (5, 0, 2**40, -1):
        assert_same_bits(run(of, array(x), step_of(step).reshape(()))[0], array(module(x, step=step)))


@both_exporters
def test_own_seed_goes_before_that_of_the_export(dynamo: bool) -> None:
    module = Parallel(RReLU(seed=3), nn.RReLU(), RReLU(seed=4)).train()
    first, derived, last = train_seeds(export_quietly(module, seed=3, dynamo=dynamo))
    assert (first, last) == (3, 4)
    assert derived not in {3, 4, -1}


@both_exporters
def test_training_override_uses_the_own_seed(dynamo: bool) -> None:
    module = RReLU(seed=3).eval()
    x = normal(3, 5)
    (actual,) = run(session(export_quietly(module, (x,), dynamo=dynamo, training=True)), array(x))
    assert_same_bits(actual, array(module.train()(x)))


@pytest.mark.filterwarnings("ignore")  # torch's advice, not the warning that is awaited
@both_exporters
@pytest.mark.parametrize("two_modules", [False, True], ids=["one module twice", "two modules with one seed"])
def test_a_seed_at_several_places_warns_and_is_derived(two_modules: bool, dynamo: bool) -> None:
    first = RReLU(seed=3)
    module = Parallel(first, RReLU(seed=3) if two_modules else first)
    x = -np.ones((4, 4), np.float32)
    said = "seed=3 belongs to several modules" if two_modules else "seed=3 is called at several places"
    with pytest.warns(UserWarning, match=said):
        model = ort_rrelu.torch.export(module, (torch.from_numpy(x),), dynamo=dynamo)
    seeds = train_seeds(model)
    assert seeds[0] == 3
    assert len(set(seeds)) == 2
    one, other = run(session(model), x)
    assert (one != other).any()


@both_exporters
def test_eval_node_keeps_the_seed_for_a_later_change_of_mode(dynamo: bool) -> None:
    (node,) = node_attributes(export_quietly(RReLU(seed=3).eval(), dynamo=dynamo))
    assert (node["training"], node["seed"]) == (0, 3)


def test_exported_program_of_a_seeded_module() -> None:
    module, x = RReLU(seed=3), normal(3, 5)
    of = session(export_quietly(torch.export.export(module, (x,))))
    for _ in range(3):
        assert_same_bits(run(of, array(x))[0], array(module(x)))
