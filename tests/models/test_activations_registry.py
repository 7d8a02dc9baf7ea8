"""build_activation: configurations, errors, and types of one's own."""

from __future__ import annotations

import copy
import re
from typing import Any

import pytest
import torch
from torch import nn

import ort_rrelu
from models.activations import activation_types, build_activation, register_activation, registry
from tests.models.activation_cases import CASES, Cfg, every_case


def test_every_type_has_a_case() -> None:
    assert {cfg["type"] for cfg in CASES.values()} == set(activation_types())


@every_case
def test_cfg_stays_as_it_is_and_serves_again(case: str) -> None:
    cfg = copy.deepcopy(CASES[case])
    first, second = build_activation(cfg), build_activation(cfg)
    assert cfg == CASES[case]
    assert repr(first) == repr(second)
    assert not {id(p) for p in first.parameters()} & {id(p) for p in second.parameters()}


@every_case
def test_repr_names_what_is_not_the_default(case: str) -> None:
    text = repr(build_activation(CASES[case]))
    assert CASES[case]["type"] in text
    assert ("inplace=True" in text) == CASES[case].get("inplace", False)
    for name in ("negative_slope", "a", "beta", "seed", "t1", "t2"):
        if name in CASES[case]:
            assert re.search(rf"\b{name}={CASES[case][name]:g}", text)


@pytest.mark.parametrize("cfg", [{"type": "Relu"}, {"type": None}, {"type": ["ReLU"]}, {"inplace": True}, {}])
def test_unknown_type_lists_the_known_ones(cfg: Cfg) -> None:
    with pytest.raises(KeyError) as error:
        build_activation(cfg)
    assert isinstance(error.value, ort_rrelu.Error)
    assert str(error.value).endswith("known types are " + ", ".join(activation_types()))
    assert repr(cfg.get("type", cfg)) in str(error.value)


@pytest.mark.parametrize(
    ("cfg", "error", "message"),
    [
        ("ReLU", TypeError, "cfg='ReLU': it must be a dict"),
        ({"type": "PaperLeakyReLU"}, TypeError, "'PaperLeakyReLU': missing a required argument: 'a'"),
        ({"type": "LearnableClip", "t1": 1}, TypeError, "missing a required argument: 't2'; it takes t1, t2"),
        (
            {"type": "LearnableClip", "t1": 1, "t2": 1, "inplace": True},
            TypeError,
            "'inplace'; it takes t1, t2",
        ),
        ({"type": "ReLU", "inplace": "no"}, TypeError, "inplace='no': it must be True or False"),
        ({"type": "MyReLU", "a": 1}, TypeError, "'a'; it takes no arguments"),
        (
            {"type": "LeakyReLU", "slope": 1},
            TypeError,
            "'slope'; it takes negative_slope=0.01, inplace=False",
        ),
        ({"type": "RReLU", "lower": 0.5, "upper": 0.25}, ValueError, "lower=0.5 is greater than upper=0.25"),
        ({"type": "PaperRReLU", "lower": 8, "upper": 3}, ValueError, "lower=8 is greater than upper=3"),
        ({"type": "PaperRReLU", "lower": 0}, ValueError, "lower=0: it must be finite and greater than 0"),
        ({"type": "PaperRReLU", "upper": "8"}, TypeError, "upper='8': it must be a number"),
        ({"type": "PaperLeakyReLU", "a": 0.01}, ValueError, "a=0.01: it must be finite and greater than 1"),
        ({"type": "LeakyReLU", "negative_slope": float("nan")}, ValueError, "negative_slope=nan"),
        ({"type": "LearnableClip", "t1": float("inf"), "t2": 1}, ValueError, "t1=inf: it must be finite"),
        ({"type": "LearnableClip", "t1": 1, "t2": True}, TypeError, "t2=True: it must be a number"),
        ({"type": "Softplus", "beta": 0}, ValueError, "beta=0: it must be finite and greater than 0"),
        ({"type": "PReLU", "num_parameters": 0}, ValueError, "num_parameters=0: it must be an integer, 1"),
        ({"type": "PReLU", "num_parameters": 3, "init": [1, 2]}, ValueError, "one number or 3 of them"),
        ({"type": "PReLU", "init": "ab"}, ValueError, "init='ab'"),
        ({"type": "PReLU", "init": [None]}, TypeError, "init=None: it must be a number"),
    ],
)
def test_what_is_wrong_is_named(cfg: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=re.escape(message)) as raised:
        build_activation(cfg)
    assert isinstance(raised.value, ort_rrelu.Error)


@pytest.fixture
def _own_types(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_FACTORIES", dict(registry._FACTORIES))


@pytest.mark.usefixtures("_own_types")
def test_a_registered_type_is_built_and_listed() -> None:
    @register_activation("Swish")
    class Swish(nn.Module):
        def __init__(self, beta: float) -> None:
            super().__init__()
            self.beta = beta

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x * torch.sigmoid(self.beta * x)

    register_activation("GELU")(nn.GELU)
    swish = build_activation({"type": "Swish", "beta": 2.0})
    assert isinstance(swish, Swish)
    assert swish.beta == 2
    assert isinstance(build_activation({"type": "GELU", "approximate": "tanh"}), nn.GELU)
    assert activation_types()[-2:] == ("Swish", "GELU")
    with pytest.raises(TypeError, match="'Swish': missing a required argument: 'beta'; it takes beta"):
        build_activation({"type": "Swish"})


@pytest.mark.usefixtures("_own_types")
@pytest.mark.parametrize(
    ("name", "factory", "error", "message"),
    [
        ("ReLU", nn.ReLU6, ValueError, "name='ReLU': it is registered already"),
        ("Swish", 3, TypeError, "factory=3: it must be"),
        (nn.ReLU6, nn.ReLU6, TypeError, "it must be a string"),
    ],
)
def test_what_cannot_be_registered(name: Any, factory: Any, error: type[Exception], message: str) -> None:
    before = activation_types()
    with pytest.raises(error, match=message):
        register_activation(name)(factory)
    assert activation_types() == before
