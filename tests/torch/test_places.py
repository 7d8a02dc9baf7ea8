"""Seeded modules that are called at several places, or have equal seeds: the seeds of their nodes."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ort_rrelu.node_attributes import seed_of_place
from ort_rrelu.torch import RReLU, export, patch_onnx_export
from tests.torch.exports import X, both_exporters, train_seeds


class _Places(nn.Module):
    """`shared` has three names and is called by two of its owners, `other` has its seed, `alone` not."""

    def __init__(self) -> None:
        super().__init__()
        self.shared, self.other, self.alone = RReLU(seed=5), RReLU(seed=5), RReLU(seed=6, inplace=True)
        self.alias = self.shared
        self.block = nn.Sequential(self.shared, nn.Linear(7, 7), self.other)

    def forward(self, x: Tensor) -> Tensor:
        x = self.alone(x * 2)
        x = self.alias(self.shared(x) * 2)
        x = self.block(x)
        y: Tensor = self.alone(self.shared(self.other(x)))
        return y


_ORDER = [
    *[("alone", 0), ("shared", 0), ("shared", 1), ("shared", 2)],
    *[("other", 0), ("other", 1), ("shared", 3), ("alone", 1)],
]


def _exported(model: Any, **kw: Any) -> tuple[list[int], list[str]]:
    """Seeds, and what was warned of them."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        seeds = train_seeds(export(model, (X,), **kw))
    return seeds, [str(each.message) for each in caught if "seed=" in str(each.message)]


def _check(seeds: list[int]) -> None:
    for name, own in (("alone", 6), ("shared", 5)):
        found = {place: seed for (module, place), seed in zip(_ORDER, seeds, strict=True) if module == name}
        assert found == {place: seed_of_place(own, place) for place in found}
    assert len(set(seeds)) == len(seeds)


@both_exporters
def test_places_are_counted_within_the_module(dynamo: bool) -> None:
    seeds, messages = _exported(_Places().train(), seed=9, dynamo=dynamo)
    _check(seeds)
    assert [message.partition(" ")[0] for message in messages] == ["a", "seed=5", "a"]
    assert _exported(_Places().train(), seed=8, dynamo=dynamo)[0] == seeds


def test_strict_programs_know_their_modules() -> None:
    program = torch.export.export(_Places().train(), (X,), strict=True)
    _check(_exported(program)[0])


def test_other_programs_count_by_seed() -> None:
    """They have the names of modules only, of which one may have several."""
    seeds, _ = _exported(torch.export.export(_Places().train(), (X,)))
    places = [place for place, (name, _) in enumerate(_ORDER) if name != "alone"]
    assert [seeds[place] for place in places] == [seed_of_place(5, count) for count in range(len(places))]


@both_exporters
def test_rrelus_without_a_seed_do_not_count(dynamo: bool) -> None:
    module = RReLU(seed=5)
    network = nn.Sequential(nn.RReLU(), module, nn.RReLU(), RReLU(), module).train()
    seeds, (message,) = _exported(network, dynamo=dynamo)
    assert seeds == [-1, 5, -3, -4, seed_of_place(5, 1)]
    assert "from train node 4 on, place j of it, from 0, draws with derive_seed(5, j)" in message


@pytest.mark.filterwarnings("ignore")
def test_calls_of_torchs_exporter_count_alike() -> None:
    with patch_onnx_export():
        program = torch.onnx.export(_Places().train(), (X,), dynamo=True, verbose=False)
    assert program is not None
    _check(train_seeds(program.model_proto))
