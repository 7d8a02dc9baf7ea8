"""replace_rrelu on networks that others wrote."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import ort_rrelu
from ort_rrelu import reference
from ort_rrelu.torch import RReLU, replace_rrelu
from tests.bits import assert_same_bits
from tests.torch.arrays import array, normal
from tests.torch.foreign import CALLS, NETWORKS, Block, Outside

_X = normal(3, 4)
every_seed = pytest.mark.parametrize("seed", [None, 7], ids=["unseeded", "seeded"])
every_network = pytest.mark.parametrize("make", NETWORKS.values(), ids=NETWORKS)


def _places(model: nn.Module) -> dict[str, nn.Module]:
    named = model.named_modules(remove_duplicate=False)
    return {name: module for name, module in named if isinstance(module, nn.RReLU)}


@every_seed
@every_network
def test_every_place_becomes_ours(make: Callable[[], nn.Module], seed: int | None) -> None:
    model = make()
    before = {name: (id(m), m.lower, m.upper, m.inplace) for name, m in _places(model).items()}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        replaced = replace_rrelu(model, seed=seed)
    after = _places(replaced)
    assert all(type(module) is RReLU for module in after.values())
    assert {name: (id(m), m.lower, m.upper, m.inplace) for name, m in after.items()} == before
    names = {id(module): name for name, module in reversed(after.items())}  # the first one of each
    for module in after.values():
        expected = None if seed is None else reference.derive_seed(seed, reference.fnv1a(names[id(module)]))
        assert module.seed == expected


@every_network
def test_eval_mode_gives_what_it_gave(make: Callable[[], nn.Module]) -> None:
    model = make().eval()
    if isinstance(model, nn.ModuleDict):
        model = nn.Sequential(*model.values())
    if type(model) is nn.Sequential and isinstance(model[-1], nn.Sequential):
        model[-1] = nn.Sequential(*[m for m in model[-1].modules() if isinstance(m, nn.RReLU)])
    expected = model(_X)
    assert_same_bits(array(replace_rrelu(model, seed=1)(_X)), array(expected))


def test_places_draw_apart_and_again() -> None:
    def draw() -> list[Tensor]:
        model = replace_rrelu(nn.Sequential(nn.RReLU(), nn.RReLU()), seed=7)
        return [model[i](-torch.ones(50)) for i in (0, 1)]

    first, again = draw(), draw()
    assert not torch.equal(*first)
    for one, same in zip(first, again, strict=True):
        assert_same_bits(array(one), array(same))


@pytest.mark.parametrize("training", [True, False])
def test_mode_hooks_and_attributes_stay(training: bool) -> None:
    module: Any = nn.RReLU(0.3, 0.4, inplace=True).train(training)
    model = nn.Sequential(module)
    seen: list[Any] = []
    handle = module.register_forward_hook(lambda module, inputs, y: seen.append(type(module)))
    module.register_forward_pre_hook(lambda module, inputs: seen.append("before"))
    module.note = "mine"
    replace_rrelu(model, seed=1)
    model(_X.clone())
    assert seen == ["before", RReLU]
    handle.remove()
    model(_X.clone())
    assert seen == ["before", RReLU, "before"]
    assert (module.training, module.note, module.inplace) == (training, "mine", True)


def test_lists_outside_of_torch_hold_ours_too() -> None:
    model = replace_rrelu(Outside(), seed=1)
    assert [type(module) for module in model.used] == [RReLU, RReLU]


def test_replaced_networks_can_be_copied_saved_and_replaced_again() -> None:
    model = replace_rrelu(nn.Sequential(Block(), nn.RReLU()), seed=1)
    state = nn.Sequential(Block(), nn.RReLU()).state_dict()
    model.load_state_dict(state, strict=True)
    twin = copy.deepcopy(model)
    assert_same_bits(array(twin(_X)), array(model(_X)))
    seeds = [module.seed for module in _places(model).values()]
    replace_rrelu(model, seed=2)
    assert [module.seed for module in _places(model).values()] == seeds


def test_counter_is_where_the_weights_are() -> None:
    model = replace_rrelu(Block().to("meta"), seed=1).to_empty(device="cpu")
    assert isinstance(model.activation, RReLU)
    assert model.activation.step is not None
    assert (model.activation.step.device.type, int(model.activation.step)) == ("cpu", 0)


def test_exported_nodes_have_the_seeds() -> None:
    model = replace_rrelu(nn.Sequential(nn.RReLU(), nn.RReLU()), seed=7)
    exported = ort_rrelu.torch.export(model, (_X,), dynamo=False)
    seeds = [a.i for node in exported.graph.node for a in node.attribute if a.name == "seed"]
    assert seeds == [module.seed for module in _places(model).values()]


@pytest.mark.parametrize(("make", "message"), CALLS.values(), ids=CALLS)
def test_what_stays_is_told_in_one_warning(make: Callable[[], nn.Module], message: str) -> None:
    model = nn.Sequential(make(), nn.RReLU())
    with pytest.warns(UserWarning, match=message) as caught:
        replace_rrelu(model)
    assert len([w for w in caught if "replace_rrelu" in str(w.message)]) == 1
    assert isinstance(model[1], RReLU)


def _with(**attributes: Any) -> nn.RReLU:
    module = nn.RReLU()
    for name, value in attributes.items():
        setattr(module, name, value)
    return module


_REFUSED: dict[str, tuple[Callable[[], Any], dict[str, Any], str]] = {
    "not a module": (lambda: print, {}, "model is of type builtin_function_or_method"),
    "negative seed": (nn.RReLU, {"seed": -1}, "seed=-1"),
    "seed not an integer": (nn.RReLU, {"seed": 1.5}, "seed=1.5"),
    "bound is a list": (lambda: nn.RReLU([0.1], 0.3), {}, "'1.0': lower=\\[0.1\\]"),  # type: ignore[arg-type]
    "bound is a parameter": (
        lambda: nn.RReLU(nn.Parameter(torch.tensor(0.1)), 0.3),  # type: ignore[arg-type]
        {},
        "'1.0': lower is a parameter",
    ),
    "bounds exchanged": (lambda: nn.RReLU(0.5, 0.2), {}, "'1.0': lower=0.5"),
    "step taken": (lambda: _with(step=3), {"seed": 1}, "'1.0' has an attribute step"),
    "seed taken": (lambda: _with(seed=3), {"seed": 1}, "'1.0' has an attribute seed"),
}


@pytest.mark.parametrize(("make", "arguments", "message"), _REFUSED.values(), ids=_REFUSED)
def test_refused_call_leaves_the_model(
    make: Callable[[], Any], arguments: dict[str, Any], message: str
) -> None:
    made = make()
    model = nn.Sequential(nn.RReLU(), nn.Sequential(made)) if isinstance(made, nn.Module) else made
    with pytest.raises(ort_rrelu.Error, match=message):
        replace_rrelu(model, **arguments)
    if isinstance(model, nn.Module):
        assert all(type(module) is nn.RReLU for module in _places(model).values())


def test_bounds_that_are_tensors_become_numbers() -> None:
    replaced = ort_rrelu.torch.replace_rrelu(nn.RReLU(torch.tensor(0.25), 0.5), seed=1)  # type: ignore[arg-type]
    assert (replaced.lower, replaced.upper) == (0.25, 0.5)
    assert type(replaced.lower) is float
