"""RReLU on DTensors, in a process group of one real process and one that is only said to be there."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, distributed
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.tensor import DTensor, Partial, Replicate, Shard, distribute_module
from torch.testing._internal.distributed.fake_pg import FakeStore

import ort_rrelu
from ort_rrelu.torch import RReLU
from ort_rrelu.torch.module import _warn_of_ranks
from tests.bits import assert_same_bits
from tests.torch.arrays import array, normal

pytestmark = pytest.mark.filterwarnings("ignore:a seeded RReLU counts its steps in several processes")

_X = normal(4, 6)


@pytest.fixture(scope="module")
def mesh() -> Iterator[DeviceMesh]:
    distributed.init_process_group("fake", store=FakeStore(), rank=0, world_size=2)
    yield init_device_mesh("cpu", (2,))
    distributed.destroy_process_group()


def _distributed(mesh: DeviceMesh, placement: Any) -> DTensor:
    x: DTensor = DTensor.from_local(_X.clone().requires_grad_(), mesh, [placement])
    return x


def _local(tensor: Any) -> Tensor:
    local: Tensor = tensor.to_local()
    return local


def _raw(module: RReLU, x: Tensor) -> Tensor:
    step = None if module.seed is None else torch.tensor(0)
    y: Tensor = torch.ops.ort_rrelu.rrelu(x, module.lower, module.upper, module.training, module.seed, step)[
        0
    ]
    return y


Call = Callable[[RReLU, Tensor], Tensor]
both_ways = pytest.mark.parametrize("call", [lambda module, x: module(x), _raw], ids=["module", "op"])


@both_ways
@pytest.mark.parametrize("placement", [Replicate(), Shard(0), Shard(1)], ids=str)
def test_eval_mode_and_its_gradient_are_pointwise(mesh: DeviceMesh, placement: Any, call: Call) -> None:
    module, x = RReLU(seed=3).eval(), _distributed(mesh, placement)
    y = call(module, x)
    (dx,) = torch.autograd.grad(y, x, torch.ones_like(y))
    assert (y.placements, dx.placements) == ((placement,), (placement,))  # type: ignore[attr-defined]
    assert_same_bits(array(_local(y)), array(module(_X)))
    torch.testing.assert_close(_local(dx), module(_X) / _X)


@both_ways
def test_train_mode_draws_a_replicated_tensor_as_any(mesh: DeviceMesh, call: Call) -> None:
    module, x = RReLU(seed=3), _distributed(mesh, Replicate())
    y = call(module, x)
    (dx,) = torch.autograd.grad(y, x, torch.ones_like(y))
    expected = _X.clone().requires_grad_()
    torch.autograd.backward(RReLU(seed=3)(expected).sum())
    assert_same_bits(array(_local(y)), array(RReLU(seed=3)(_X)))
    assert expected.grad is not None
    assert_same_bits(array(_local(dx)), array(expected.grad))


def test_distributed_module_counts(mesh: DeviceMesh) -> None:
    module, plain = distribute_module(RReLU(seed=3), mesh), RReLU(seed=3)
    assert isinstance(module.step, DTensor)
    x = _distributed(mesh, Replicate())
    for _ in range(3):
        assert_same_bits(array(_local(module(x))), array(plain(_X)))
    assert_same_bits(array(_local(module(x, step=8))), array(plain(_X, step=8)))


@both_ways
@pytest.mark.parametrize("placement", [Shard(0), Shard(1), Partial()], ids=str)
@pytest.mark.parametrize("seed", [None, 3], ids=["unseeded", "seeded"])
def test_train_mode_refuses_shards_by_name(
    mesh: DeviceMesh, seed: int | None, placement: Any, call: Call
) -> None:
    module = RReLU(seed=seed)
    with pytest.raises((ort_rrelu.Error, RuntimeError), match=r"train mode.*(Shard|Partial).*Replicate\(\)"):
        call(module, _distributed(mesh, placement))
    assert module.step is None or int(module.step) == 0


def test_refusals_of_the_module_are_errors_of_ours(mesh: DeviceMesh) -> None:
    with pytest.raises(ort_rrelu.Error, match="local positions"):
        RReLU(seed=3)(_distributed(mesh, Shard(0)))
    with pytest.raises(ort_rrelu.Error, match=r"RReLU\(seed=\.\.\.\)"):
        RReLU()(_distributed(mesh, Replicate()))


_STEPS = torch.tensor([7, -1, 7, 2**40])


@pytest.mark.parametrize(
    ("placement", "given"),
    [
        *[(placement, given) for placement in (Replicate(), Shard(0)) for given in ("plain", "replicated")],
        (Shard(0), "sharded"),
    ],
    ids=str,
)
def test_shards_of_whole_rows_draw_with_steps_of_their_own(
    mesh: DeviceMesh, placement: Any, given: str
) -> None:
    module = RReLU(seed=3)
    whole = torch.cat([_X] * 2) if placement.is_shard() else _X
    steps = torch.cat([_STEPS, _STEPS + 1])[: len(whole)]
    if given != "plain":
        kind = Replicate() if given == "replicated" else Shard(0)
        local = steps if given == "replicated" else steps[: len(steps) // 2]
        steps = DTensor.from_local(local, mesh, [kind])
    x = _distributed(mesh, placement)
    y = module(x, step=steps)
    assert y.placements == (placement,)
    (dx,) = torch.autograd.grad(y, x, torch.ones_like(y))
    expected = module(_X, step=_STEPS)
    assert_same_bits(array(_local(y)), array(expected))
    torch.testing.assert_close(_local(dx), expected / _X)


@pytest.mark.parametrize("placement", [Shard(1), Partial()], ids=str)
def test_other_shards_are_refused_with_steps_of_rows_too(mesh: DeviceMesh, placement: Any) -> None:
    with pytest.raises(ort_rrelu.Error, match=r"Shard\(0\) is allowed where step= has a step for each row"):
        RReLU(seed=3)(_distributed(mesh, placement), step=_STEPS)


@pytest.mark.parametrize("placement", [Replicate(), Shard(0), Shard(1)], ids=str)
def test_eval_mode_takes_steps_of_rows_on_any_shards(mesh: DeviceMesh, placement: Any) -> None:
    module = RReLU(seed=3).eval()
    steps = torch.arange(8 if placement.is_shard(0) else 4)
    y: Any = module(_distributed(mesh, placement), step=steps)
    assert_same_bits(array(_local(y)), array(module(_X)))


_SAID = "all ranks of one seed draw the same slopes; call the network with a step for each row"


def _warnings(module: Callable[..., Tensor], x: Tensor, **kw: Any) -> int:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(2):
            module(x, **kw)
    return sum(_SAID in str(each.message) for each in caught)


def test_counted_steps_in_several_processes_warn_once(mesh: DeviceMesh) -> None:
    """As DistributedDataParallel runs them."""
    _warn_of_ranks.cache_clear()
    assert _warnings(RReLU(), _X) == 0
    assert _warnings(RReLU(seed=3).eval(), _X) == 0
    assert _warnings(RReLU(seed=3), _X, step=torch.arange(4)) == 0
    assert _warnings(RReLU(seed=3), _distributed(mesh, Replicate())) == 0
    assert _warnings(RReLU(seed=3), _X) == 1
    assert _warnings(RReLU(seed=4), _X) == 0


@pytest.mark.usefixtures("mesh")
def test_compiled_code_warns_once_and_stays_whole() -> None:
    torch._dynamo.reset()
    _warn_of_ranks.cache_clear()
    assert _warnings(torch.compile(RReLU(seed=3), backend="aot_eager", fullgraph=True), _X, step=4) == 0
    compiled, plain = torch.compile(RReLU(seed=3), backend="aot_eager", fullgraph=True), RReLU(seed=3)
    assert _warnings(compiled, _X) == 1
    assert _warnings(plain, _X) == 0
    for _ in range(2):
        assert_same_bits(array(compiled(_X)), array(plain(_X)))


@pytest.mark.usefixtures("mesh")
def test_an_export_in_several_processes_does_not_warn() -> None:
    _warn_of_ranks.cache_clear()

    def export(x: Tensor) -> Tensor:
        y: Tensor = torch.export.export(torch.nn.Sequential(RReLU(seed=3)), (x,)).module()(x)
        return y

    assert _warnings(export, _X) == 0


@pytest.mark.usefixtures("mesh")
def test_a_module_that_ran_before_the_processes_met_warns(monkeypatch: pytest.MonkeyPatch) -> None:
    _warn_of_ranks.cache_clear()
    module = RReLU(seed=3)
    with monkeypatch.context() as alone:
        alone.setattr(distributed, "is_initialized", lambda: False)
        assert _warnings(module, _X) == 0
    assert _warnings(module, _X) == 1
