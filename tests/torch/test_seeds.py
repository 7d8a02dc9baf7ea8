"""The seeds of exported train nodes: different for every node, the same at every optimization level."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import ort_rrelu
from ort_rrelu import reference
from ort_rrelu.node_attributes import NodeSeeds, seed_of_place
from tests.bits import assert_same_bits
from tests.onnx_models import run, session
from tests.torch.arrays import array
from tests.torch.constructs import Parallel
from tests.torch.exports import BASE_SEED, X, both_exporters, export_quietly, train_seeds


def test_ten_thousand_seeds_differ() -> None:
    seeds = [seeds.take(None) for seeds in map(NodeSeeds, range(100)) for _ in range(100)]
    assert len(set(seeds)) == 10_000
    assert all(0 <= seed < 2**63 for seed in seeds)


@pytest.mark.parametrize("base", [0, 11, 2**63 - 1])
def test_seed_of_a_node_is_derived_from_its_position(base: int) -> None:
    seeds = NodeSeeds(base)
    assert [seeds.take(None) for _ in range(20)] == [reference.derive_seed(base, i) for i in range(20)]


def test_without_a_base_every_node_takes_entropy_of_its_own() -> None:
    seeds = NodeSeeds(None)
    assert [seeds.take(None) for _ in range(4)] == [-1, -2, -3, -4]


def test_own_seed_is_kept_and_keeps_its_position() -> None:
    seeds = NodeSeeds(11)
    assert [seeds.take(own) for own in (None, 5, None)] == [
        reference.derive_seed(11, 0), 5, reference.derive_seed(11, 2),
    ]  # fmt: skip


_DERIVED = [reference.derive_seed(base, i) for base in (0, 5) for i in range(3)]


@given(
    base=st.sampled_from([None, 0, 5]),
    owns=st.lists(st.sampled_from([None, 0, 5, *_DERIVED]), max_size=12),
)
def test_seeds_differ_whatever_the_modules_bring(base: int | None, owns: list[int | None]) -> None:
    seeds = NodeSeeds(base)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        taken = [seeds.take(own) for own in owns]
    assert len(set(taken)) == len(owns)


def test_places_of_a_module_warn_and_are_derived_in_its_own_count() -> None:
    seeds = NodeSeeds(None)
    assert [seeds.take(own) for own in (None, 5, None)] == [-1, 5, -3]
    with pytest.warns(UserWarning, match=r"a module with seed=5 is called .*: from train node 3 on, place j"):
        assert seeds.take(5) == reference.derive_seed(5, 1)
    assert seeds.take(5) == reference.derive_seed(5, 2)  # and warns no more: warnings are errors here


def test_modules_with_equal_seeds_count_their_own_places() -> None:
    seeds = NodeSeeds(None)
    with pytest.warns(UserWarning) as warned:
        taken = [(module, seeds.take(5, module)) for module in "abbaabc"]
    assert [seed for module, seed in taken if module == "a"] == [
        seed_of_place(5, place) for place in range(3)
    ]
    assert len({seed for _, seed in taken}) == len(taken)
    assert [str(each.message)[:40] for each in warned] == [
        "seed=5 belongs to several modules of the",
        "a module with seed=5 is called at severa",
    ]


@pytest.mark.parametrize("seed", [-1, 2**63, 1.5, "7"])
def test_refused(seed: Any) -> None:
    with pytest.raises(ort_rrelu.Error, match=f"seed={seed!r}") as caught:
        NodeSeeds(seed)
    assert isinstance(caught.value, ValueError | TypeError)
    with pytest.raises(ort_rrelu.Error, match=f"seed={seed!r}"):
        export_quietly(nn.RReLU(), seed=seed)


@both_exporters
def test_seeds_of_an_exported_model(dynamo: bool) -> None:
    module = Parallel(*(nn.RReLU() for _ in range(5))).train()
    seeded, unseeded = (train_seeds(export_quietly(module, seed=s, dynamo=dynamo)) for s in (11, None))
    assert seeded == [reference.derive_seed(11, i) for i in range(5)]
    assert len(set(unseeded)) == 5
    assert max(unseeded) < 0


def _network() -> nn.Module:
    """Equal nodes on one input, a no-op between others: what optimizers merge, drop and move."""
    branches = Parallel(nn.RReLU(), nn.RReLU(), nn.Sequential(nn.RReLU(), nn.Dropout(0.0), nn.RReLU()))
    return nn.Sequential(nn.Flatten(), nn.Unflatten(1, (3, 7)), branches).train()


@both_exporters
@pytest.mark.parametrize("by_session", [False, True], ids=["export(seed=)", "register(seed=)"])
def test_optimization_changes_no_slopes(by_session: bool, dynamo: bool) -> None:
    model = export_quietly(_network(), seed=None if by_session else BASE_SEED, dynamo=dynamo)
    levels = onnxruntime.GraphOptimizationLevel
    plain, optimized = (
        session(model, seed=BASE_SEED if by_session else None, optimization=level)
        for level in (levels.ORT_DISABLE_ALL, levels.ORT_ENABLE_ALL)
    )
    for _ in range(3):
        drawn = [run(of, array(X)) for of in (plain, optimized)]
        for one, other in zip(*drawn, strict=True):
            assert_same_bits(one, other)
        assert len({np.asarray(y).tobytes() for y in drawn[0]}) == len(drawn[0])
