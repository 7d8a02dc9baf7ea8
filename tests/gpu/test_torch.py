"""ort_rrelu.torch on CUDA tensors: eager and captured; test_compile.py has compiled code."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from ort_rrelu import reference
from ort_rrelu.torch import RReLU
from tests.bits import assert_same_bits
from tests.gpu import device
from tests.onnx_models import Array
from tests.torch.arrays import ROUNDING, TORCH_DTYPES, normal

pytestmark = device.needs_gpu()

every_dtype = pytest.mark.parametrize("dtype", TORCH_DTYPES.values(), ids=str)
_LAYOUTS: dict[str, Callable[[Tensor], Tensor]] = {
    "contiguous": lambda x: x,
    "channels_last": lambda x: x.contiguous(memory_format=torch.channels_last),
    "sliced": lambda x: x[:, 1:, ::2],
    "not aligned": lambda x: x.reshape(-1)[1:],
    "empty": lambda x: x[:, :0],
}


def _images(dtype: torch.dtype = torch.float32) -> Tensor:
    return normal(2, 4, 13, 35, dtype=dtype).cuda()


def _reference(x: Tensor, seed: int, step: int) -> Array:
    return reference.rrelu(device.on_host(x), training=True, seed=seed, step=step)


@every_dtype
@pytest.mark.parametrize("layout", _LAYOUTS.values(), ids=_LAYOUTS)
def test_train_mode_equals_the_reference(layout: Callable[[Tensor], Tensor], dtype: torch.dtype) -> None:
    module, x = RReLU(seed=3).cuda(), layout(_images(dtype))
    for step in range(3):
        y = module(x)
        assert (y.device, y.stride()) == (x.device, torch.empty_like(x).stride())
        assert_same_bits(device.on_host(y), _reference(x, 3, step))


@every_dtype
def test_eval_mode_equals_torch(dtype: torch.dtype) -> None:
    x = _images(dtype)
    actual, expected = (module().eval()(x) for module in (RReLU, nn.RReLU))
    torch.testing.assert_close(actual, expected, rtol=ROUNDING[dtype], atol=0)


@every_dtype
@pytest.mark.parametrize("inplace", [False, True])
@pytest.mark.parametrize("seed", [3, None], ids=["seeded", "unseeded"])
@pytest.mark.parametrize("repeats", [1, 20], ids=["noise is kept", "the reserve is kept"])
def test_gradient_is_dy_times_noise(
    repeats: int, seed: int | None, inplace: bool, dtype: torch.dtype
) -> None:
    x = _images(dtype).repeat(repeats, 1, 1, 1).requires_grad_()
    dy = x.detach().flip(0)
    y = RReLU(inplace=inplace, seed=seed).cuda()(x * 1)
    torch.autograd.backward(y, dy)
    assert x.grad is not None
    if seed is None:
        torch.testing.assert_close(x.grad * x.detach(), y.detach() * dy, rtol=0.02, atol=1e-6)
        return
    _, noise = reference.rrelu(device.on_host(x), training=True, seed=3, return_noise=True)
    assert_same_bits(device.on_host(x.grad), reference.rrelu_grad(device.on_host(dy), noise))


@pytest.mark.parametrize("where", ["cpu", "cuda"])
def test_named_steps_on_either_device(where: str) -> None:
    x = _images()
    for step in (7, -1):
        y = RReLU(seed=3).cuda()(x, step=torch.tensor(step, device=where))
        assert_same_bits(device.on_host(y), _reference(x, 3, step))


def test_the_generator_of_the_device_governs_an_unseeded_module() -> None:
    module, x = RReLU(), _images()
    torch.manual_seed(4)
    first, second = module(x), module(x)
    torch.manual_seed(4)
    assert torch.equal(module(x), first)
    assert not torch.equal(first, second)


@pytest.mark.parametrize("repeats", [1, 20], ids=["noise is kept", "the reserve is kept"])
def test_nothing_waits_for_the_device(repeats: int) -> None:
    module, x = RReLU(seed=3).cuda(), _images().repeat(repeats, 1, 1, 1).requires_grad_()
    unseeded = RReLU()
    torch.cuda.set_sync_debug_mode("error")
    try:
        torch.autograd.backward((module(x) + unseeded(x)).sum())
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("use_reentrant", [True, False], ids=["reentrant", "non-reentrant"])
def test_checkpoint_draws_the_same_slopes_again(use_reentrant: bool) -> None:
    def gradients(call: Callable[[nn.Module, Tensor], Tensor]) -> list[Array]:
        module, results = RReLU(seed=5).cuda(), []
        for _ in range(3):
            x = _images().requires_grad_()
            torch.autograd.backward(call(module, x).sum())
            assert x.grad is not None
            results.append(device.on_host(x.grad))
        return results

    plain = gradients(lambda module, x: module(x))
    again = gradients(lambda module, x: checkpoint(module, x, use_reentrant=use_reentrant))
    for a, b in zip(again, plain, strict=True):
        assert_same_bits(a, b)


@pytest.mark.parametrize("seed", [5, None], ids=["seeded", "unseeded"])
def test_every_replay_of_a_captured_graph_draws_anew(seed: int | None) -> None:
    module, x = RReLU(seed=seed).cuda(), _images()
    side = device.new_stream()
    with torch.cuda.stream(side):
        module(x)
    side.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        y = module(x)
    draws = []
    for _ in range(4):
        graph.replay()
        draws.append(y.clone())
    if seed is None:
        assert len({device.on_host(draw).tobytes() for draw in draws}) == len(draws)
    else:
        for step, draw in enumerate(draws, start=1):  # the run before the capture was step 0
            assert_same_bits(device.on_host(draw), _reference(x, seed, step))


def test_streams_at_once() -> None:
    x = normal(300_000).cuda()
    torch.cuda.synchronize()
    streams = [device.new_stream() for _ in range(2)]
    modules = [RReLU(seed=seed).cuda() for seed in range(2)]
    results: list[list[Tensor]] = [[], []]
    for _ in range(20):
        for i in range(2):
            with torch.cuda.stream(streams[i]):
                results[i].append(modules[i](x))
    torch.cuda.synchronize()
    for seed, draws in enumerate(results):
        for step, draw in enumerate(draws):
            assert_same_bits(device.on_host(draw), _reference(x, seed, step))
