"""Two real processes with gloo, under DDP and FSDP2: each row draws at its step, wherever it is dealt to."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, distributed, multiprocessing, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor
from torch.nn.parallel import DistributedDataParallel

from ort_rrelu import reference
from ort_rrelu.torch import RReLU, accept_step
from tests.bits import assert_same_bits
from tests.torch.arrays import array

_SEEDS = 3, 4
_STEPS = torch.tensor([7, -1, 7, 2**40, 0])  # the second process gets fewer
_X = torch.linspace(-9, 7, 30, dtype=torch.float64).sin().view(5, 6)
_LIMIT = 120  # seconds, for processes that take ten

Wrap = Callable[[nn.Module], nn.Module]


def _network() -> nn.Module:
    torch.manual_seed(0)
    layers = [nn.Linear(6, 8), RReLU(seed=_SEEDS[0]), nn.Linear(8, 32), RReLU(seed=_SEEDS[1])]
    return accept_step(nn.Sequential(*layers).double())


def _sharded(net: nn.Module) -> nn.Module:
    mesh = init_device_mesh("cpu", (distributed.get_world_size(),))
    for layer in (net[0], net[2], net):  # type: ignore[index]
        fully_shard(layer, mesh=mesh)
    return net


_WRAPPERS: dict[str, Wrap] = {"DDP": DistributedDataParallel, "FSDP2": _sharded}


def _trained(wrap: Wrap, x: Tensor, steps: Tensor) -> tuple[list[tuple[Tensor, Tensor]], list[Tensor]]:
    """Each RReLU's input and output, and the gradients."""
    net, calls = _network(), []

    def note(_: nn.Module, args: tuple[Tensor], y: Tensor) -> None:
        calls.append((args[0].detach().clone(), y.detach().clone()))

    for module in net.modules():
        if isinstance(module, RReLU):
            module.register_forward_hook(note)
    model = wrap(net)  # gradients come together only while it lives
    model(x, step=steps).square().sum().backward()
    gradients = [each.grad for each in net.parameters() if each.grad is not None]
    return calls, [each.full_tensor() if isinstance(each, DTensor) else each for each in gradients]


def _counted(module: RReLU) -> tuple[Tensor, list[str]]:
    """What two calls without a step draw, and of what they warn."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        drawn = torch.stack([module(-torch.ones(4)) for _ in range(2)])
    return drawn, [str(each.message) for each in caught]


def _work(rank: int, folder: Path) -> None:
    torch.set_num_threads(1)
    module = RReLU(seed=_SEEDS[0])
    module(-torch.ones(4))
    store = (folder / "store").as_uri()
    distributed.init_process_group("gloo", init_method=store, rank=rank, world_size=2)
    found: dict[str, Any] = {
        name: _trained(wrap, _X[rank::2], _STEPS[rank::2]) for name, wrap in _WRAPPERS.items()
    }
    found["counted"] = _counted(module)
    torch.save(found, folder / f"{rank}.pt")
    distributed.destroy_process_group()


@pytest.fixture(scope="module")
def processes(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What each process found."""
    folder, context = tmp_path_factory.mktemp("processes"), multiprocessing.get_context("spawn")
    workers = [context.Process(target=_work, args=(rank, folder), daemon=True) for rank in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(_LIMIT)
    for worker in workers:
        worker.kill()
    assert [worker.exitcode for worker in workers] == [0, 0]
    return [torch.load(folder / f"{rank}.pt") for rank in range(2)]


@pytest.mark.parametrize("wrapper", _WRAPPERS)
def test_each_row_draws_at_its_step(processes: list[dict[str, Any]], wrapper: str) -> None:
    for rank, found in enumerate(processes):
        calls, _ = found[wrapper]
        assert len(calls) == len(_SEEDS)
        for seed, (x, y) in zip(_SEEDS, calls, strict=True):
            assert (array(x) < 0).any(axis=1).all()
            steps = _STEPS[rank::2].numpy()
            assert_same_bits(array(y), reference.rrelu(array(x), training=True, seed=seed, step=steps))


@pytest.mark.parametrize("wrapper", _WRAPPERS)
def test_gradients_are_those_of_one_process(processes: list[dict[str, Any]], wrapper: str) -> None:
    _, expected = _trained(lambda net: net, _X, _STEPS)
    for found in processes:
        _, gradients = found[wrapper]
        for mean, whole in zip(gradients, expected, strict=True):
            np.testing.assert_allclose(array(2 * mean), array(whole), rtol=1e-12)


def test_counted_steps_draw_the_same_on_both_and_warn_once(processes: list[dict[str, Any]]) -> None:
    """A module that ran before the processes met warns too."""
    (first, said), (second, also_said) = (found["counted"] for found in processes)
    assert torch.equal(first, second)
    for messages in (said, also_said):
        assert len(messages) == 1
        assert "all ranks of one seed draw the same slopes" in messages[0]
