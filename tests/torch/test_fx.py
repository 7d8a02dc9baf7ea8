"""torch.fx: a traced RReLU stays a module of the graph, with its mode and its step."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, fx, nn
from torch.ao.quantization import get_default_qconfig_mapping
from torch.ao.quantization.quantize_fx import prepare_fx
from torch.fx.experimental.proxy_tensor import make_fx

import ort_rrelu
from ort_rrelu.torch import RReLU
from tests.bits import assert_same_bits
from tests.torch.arrays import array, normal

_X = normal(4, 3, 5)
pytestmark = [
    pytest.mark.filterwarnings("ignore:torch.ao.quantization is deprecated:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:Please use quant_min and quant_max:UserWarning"),
]
every_seed = pytest.mark.parametrize("seed", [None, 5], ids=["unseeded", "seeded"])


class _Shared(nn.Module):
    """One module at two places, by its attribute and in a list."""

    def __init__(self, rrelu: RReLU) -> None:
        super().__init__()
        self.rrelu = rrelu
        self.more = nn.ModuleList([rrelu, nn.Tanh()])

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.rrelu(x)
        for module in self.more:
            y = module(y * 2)
        return y


class _AtStep(nn.Module):
    def __init__(self, rrelu: RReLU) -> None:
        super().__init__()
        self.rrelu = rrelu

    def forward(self, x: Tensor, step: Tensor | int = 3) -> Tensor:
        y: Tensor = self.rrelu(x, step=step)
        return y


class _ByForward(_AtStep):
    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        return self.rrelu.forward(x)


class _Times2(RReLU):
    def forward(self, x: Tensor, step: int | Tensor | None = None) -> Tensor:
        return super().forward(x, step) * 2


class _Leaves(fx.Tracer):
    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, RReLU) or super().is_leaf_module(m, module_qualified_name)


class _Plain(fx.Tracer):
    pass


def _own_tracer(tracer: fx.Tracer) -> Callable[[nn.Module], fx.GraphModule]:
    return lambda net: fx.GraphModule(net, tracer.trace(net))


def _quantizing(net: nn.Module) -> Any:
    # It wants eval mode, and gives it back.
    training = net.training
    traced = prepare_fx(net.eval(), get_default_qconfig_mapping(), (_X,))
    for module in (net, traced):
        module.train(training)
    return traced


_NETS: dict[str, Callable[[RReLU], nn.Module]] = {
    "sequential": lambda rrelu: nn.Sequential(nn.Tanh(), rrelu),
    "nested": lambda rrelu: nn.Sequential(nn.Sequential(nn.Sequential(rrelu)), nn.Tanh()),
    "twice": lambda rrelu: nn.Sequential(rrelu, nn.Tanh(), rrelu),
    "shared": _Shared,
    "forward called": _ByForward,
}
_TRACERS: dict[str, Callable[[nn.Module], Any]] = {
    "symbolic_trace": fx.symbolic_trace,
    "traced twice": lambda net: fx.symbolic_trace(fx.symbolic_trace(net)),
    "own tracer": _own_tracer(_Plain()),
    "leaves": _own_tracer(_Leaves()),
    "copied": lambda net: copy.deepcopy(fx.symbolic_trace(net)),
    "quantization": _quantizing,
}


def _draws(net: nn.Module, calls: int = 3) -> list[Tensor]:
    torch.manual_seed(0)
    return [net(_X) for _ in range(calls)]


@every_seed
@pytest.mark.parametrize("net", _NETS)
@pytest.mark.parametrize("tracer", _TRACERS)
def test_traced_network_is_the_network(tracer: str, net: str, seed: int | None) -> None:
    model = _NETS[net](RReLU(seed=seed)).train()
    traced = _TRACERS[tracer](copy.deepcopy(model))
    first = _draws(traced)
    assert not torch.equal(first[0], first[1])
    for actual, expected in zip(first, _draws(model), strict=True):
        assert_same_bits(array(actual), array(expected))
    # Modes that are set later count.
    assert_same_bits(array(traced.eval()(_X)), array(model.eval()(_X)))
    for actual, expected in zip(_draws(traced.train()), _draws(model.train()), strict=True):
        assert_same_bits(array(actual), array(expected))


def test_tracing_takes_no_step() -> None:
    model = nn.Sequential(RReLU(seed=5))
    fx.symbolic_trace(model)
    assert torch.equal(model(_X), nn.Sequential(RReLU(seed=5))(_X))


@pytest.mark.parametrize("step", [3, torch.tensor(7)])
def test_step_of_the_call_is_in_the_graph(step: Tensor | int) -> None:
    module = RReLU(seed=5)
    traced = fx.symbolic_trace(_AtStep(module))
    expected = module(_X, step=step)
    assert_same_bits(array(traced(_X, step)), array(expected))
    constant = fx.symbolic_trace(_AtStep(module), concrete_args={"step": 3})
    assert_same_bits(array(constant(_X, 3)), array(module(_X, step=3)))
    assert not torch.equal(traced(_X, 8), expected)


@every_seed
def test_make_fx_keeps_the_counter(seed: int | None) -> None:
    graph = make_fx(RReLU(seed=seed))(_X)
    assert not torch.equal(graph(_X), graph(_X))


@every_seed
def test_traced_network_can_be_pickled(seed: int | None) -> None:
    model = nn.Sequential(nn.Tanh(), RReLU(seed=seed))
    traced = pickle.loads(pickle.dumps(fx.symbolic_trace(model)))
    for actual, expected in zip(_draws(traced), _draws(model), strict=True):
        assert_same_bits(array(actual), array(expected))


def test_class_is_still_where_pickle_finds_it() -> None:
    assert RReLU().__module__ == RReLU.__module__ == "ort_rrelu.torch.module"


def _hooked() -> nn.Module:
    module = RReLU()
    module.register_forward_hook(lambda module, inputs, y: y * 2)
    return nn.Sequential(module)


def _hooked_before() -> nn.Module:
    module = RReLU()
    module.register_forward_pre_hook(lambda module, inputs: (inputs[0] * 2,))
    return nn.Sequential(module)


def _patched() -> nn.Module:
    module = RReLU()
    forward = module.forward

    def doubled(x: Tensor, step: int | Tensor | None = None) -> Tensor:
        return forward(x, step) * 2

    module.forward = doubled  # type: ignore[method-assign]
    return nn.Sequential(module)


_REFUSED: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "root": (RReLU, r"trace torch\.nn\.Sequential\(module\)"),
    "hook": (_hooked, "module '0' has hooks .* is_leaf_module"),
    "hook before": (_hooked_before, "module '0' has hooks .* is_leaf_module"),
    "another class": (lambda: nn.Sequential(_Times2()), "forward of another class"),
    "patched forward": (_patched, "forward of another class"),
}


@pytest.mark.parametrize(("make", "message"), _REFUSED.values(), ids=_REFUSED)
def test_what_would_run_twice_or_freeze_is_refused(make: Callable[[], nn.Module], message: str) -> None:
    with pytest.raises(ort_rrelu.Error, match=message):
        fx.symbolic_trace(make())


@pytest.mark.parametrize("make", [_hooked, _hooked_before, lambda: nn.Sequential(_Times2())])
def test_leaf_runs_its_hooks_once(make: Callable[[], nn.Module]) -> None:
    model = make().eval()
    assert_same_bits(array(_TRACERS["leaves"](model)(_X)), array(model(_X)))


def test_module_outside_of_the_root_is_refused_as_by_torch() -> None:
    def traced(outside: nn.Module) -> None:
        with pytest.raises(NameError, match="not installed as a submodule"):
            fx.symbolic_trace(lambda x: outside(x))

    traced(nn.Tanh())
    traced(RReLU())
