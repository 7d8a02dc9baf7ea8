"""The device kernels through the C API, against the NumPy reference to the last bit."""

from __future__ import annotations

import re
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import Tensor

from ort_rrelu import library, reference
from tests.bits import assert_same_bits
from tests.draws import Draw, by_reference, normal, special_values
from tests.gpu import device
from tests.onnx_models import DTYPES, FLOAT, FLOAT16

pytestmark = device.needs_gpu()

every_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=[str(d) for d in DTYPES.values()])
both_modes = pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])

# Around a block, a load, a tile of each type (256, 512, 1024 elements), a grid of several blocks.
_SIZES = [*range(18), 255, 256, 257, 511, 512, 513, 1023, 1024, 1025, 8 * 1024 + 5, 1_000_003]


def _check(saved: device.Saved, x: np.ndarray, draw: Draw) -> None:
    expected = by_reference(x, draw)
    for name in ("y", "noise", "reserve"):
        assert_same_bits(device.on_host(getattr(saved, name)), getattr(expected, name))


@every_dtype
@both_modes
@pytest.mark.parametrize("offset", [0, 1, 3])
def test_sizes_and_offsets(dtype: int, training: bool, offset: int) -> None:
    for size in _SIZES:
        x = normal((size,), dtype)
        _check(
            device.forward(device.on_device(x, offset), Draw(training=training), offset=offset),
            x,
            Draw(training=training),
        )


@every_dtype
@both_modes
def test_in_place(dtype: int, training: bool) -> None:
    x = normal((5000,), dtype)
    _check(
        device.forward(device.on_device(x), Draw(training=training), in_place=True),
        x,
        Draw(training=training),
    )


@every_dtype
@both_modes
def test_special_values(dtype: int, training: bool) -> None:
    """Subnormals, infinities, NaN and zeros of both signs, in tiles and after them."""
    x = np.resize(special_values(dtype), (3000,))
    for bounds in [(1 / 8, 1 / 3), (-1e-4, 1e-4), (0.0, 1e-7), (-2.5, 3.0)]:
        _check(device.forward(device.on_device(x), Draw(*bounds, training)), x, Draw(*bounds, training))


@every_dtype
@both_modes
@pytest.mark.parametrize("offset", [0, 1])
def test_rows(dtype: int, training: bool, offset: int) -> None:
    """Of a step each: shorter than a block, of whole blocks, of other sizes, longer than a tile."""
    generator = np.random.default_rng(11)
    for rows, size in [(1, 9), (300, 1), (90, 7), (64, 8), (700, 10), (40, 64), (50, 513), (3, 4096), (2, 0)]:
        x, dy = (normal((rows, size), dtype, seed=seed) for seed in (7, 8))
        steps = generator.integers(-(2**63), 2**63 - 1, rows, np.int64, endpoint=True)
        draw = Draw(training=training, step=steps)
        saved = device.forward(device.on_device(x, offset), draw, offset=offset)
        _check(saved, x, draw)
        dx = device.backward_reserve(device.on_device(dy, offset), saved.reserve)
        assert_same_bits(device.on_host(dx), reference.rrelu_grad(dy, by_reference(x, draw).reserve))


@every_dtype
@pytest.mark.parametrize("seed", [0, 1, 2**32, 2**63 - 1])
@pytest.mark.parametrize("step", [0, 2**32, -1, -(2**63)])
def test_seeds_and_steps(dtype: int, seed: int, step: int) -> None:
    """As numbers of the call, and from device memory."""
    x = normal((1500,), dtype)
    draw = Draw(seed=seed, step=step)
    _check(device.forward(device.on_device(x), draw), x, draw)
    numbers = torch.tensor([seed, step], dtype=torch.int64, device="cuda")
    call = library.CudaCall(device.stream(), numbers.data_ptr(), numbers.data_ptr() + 8)
    _check(device.forward(device.on_device(x), Draw(seed=99, step=98), call=call), x, draw)


@every_dtype
@both_modes
@pytest.mark.parametrize("offset", [0, 1])
def test_both_gradients(dtype: int, training: bool, offset: int) -> None:
    for size in _SIZES:
        x, dy = normal((size,), dtype), normal((size,), dtype, seed=8)
        expected = by_reference(x, Draw(training=training))
        gradient = device.on_device(dy, offset)
        actual = [
            device.backward(gradient, device.on_device(expected.noise, offset)),
            device.backward_reserve(gradient, device.on_device(expected.reserve, offset)),
        ]
        for dx, saved in zip(actual, expected[1:], strict=True):
            assert_same_bits(device.on_host(dx), reference.rrelu_grad(dy, saved))


@pytest.mark.parametrize("size", [2**31 + 1003, 2**32 + 8 * 1024 + 3], ids=["over 2^31", "over 2^32"])
def test_more_elements_than_32_bits_count(size: int) -> None:
    """Windows of a tensor, against the CPU kernels, which take a window by itself."""
    x = torch.empty(size, dtype=torch.float16, device="cuda").normal_()
    windows = [
        (begin, min(begin + 4096, size)) for begin in (0, 2**31 - 2048, 2**32 - 2048, size // 8 * 8 - 2048)
    ]
    windows = [(begin, end) for begin, end in windows if begin < size]
    before = [device.on_host(x[begin:end]) for begin, end in windows]
    saved = device.forward(x, Draw(), in_place=True)
    params = library.Params(FLOAT16, training=True, seed=Draw().seed, step=Draw().step)
    for (begin, end), values in zip(windows, before, strict=True):
        y, noise = np.empty_like(values), np.empty_like(values)
        zero = [(a.ctypes.data - begin * a.itemsize) % 2**64 for a in (values, y, noise)]
        library.forward(params, zero[0], zero[1], zero[2], begin, end, size=size)
        assert_same_bits(device.on_host(saved.y[begin:end]), y)
        assert_same_bits(device.on_host(saved.noise[begin:end]), noise)
        bits = np.packbits(values <= 0, bitorder="little")
        assert_same_bits(device.on_host(saved.reserve[64 + begin // 8 : 64 + (end + 7) // 8]), bits)


def _fault() -> Tensor:
    """Pinned memory, which the device writes to at the same address."""
    return torch.zeros(10, dtype=torch.int64).pin_memory()


@every_dtype
@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (0, 0, "reserve begins with"),
        (4, 9, "reserve has version 9"),
        (8, 7, "reserve is of type"),
        (12, 2, "in the reserve, training=2"),
        (19, 0x7F, "in the reserve, lower="),
        (40, 1, "reserve is of .* elements"),
        (63, 1, "reserve has bytes other than 0"),
        (-1, 0xFF, "reserve has bits other than 0 after its last element"),
    ],
)
def test_a_wrong_reserve_gives_nan_and_a_message(dtype: int, place: int, value: int, message: str) -> None:
    x = normal((1003,), dtype)
    reserve = by_reference(x, Draw()).reserve.copy()
    reserve[place] = value
    fault = _fault()
    dx = device.backward_reserve(device.on_device(x), device.on_device(reserve), fault=fault.data_ptr())
    torch.cuda.synchronize()
    assert bool(torch.isnan(dx).all())
    assert message.split(".*")[0] in library.cuda_fault(fault.data_ptr())
    assert library.cuda_fault(fault.data_ptr()) == ""


def test_faults_of_two_streams_are_told_whole() -> None:
    """Each reserve is of one element more than its dy, so that a mixed message would show."""
    fault, streams = _fault(), [device.new_stream() for _ in range(2)]
    sizes = [1001, 1003]  # whose reserves have as many bytes
    dys = [torch.ones(size, device="cuda") for size in sizes]
    reserves = [device.on_device(by_reference(normal((size + 1,), FLOAT), Draw()).reserve) for size in sizes]
    told = []
    torch.cuda.synchronize()
    for _ in range(500):
        for stream, dy, reserve in zip(streams, dys, reserves, strict=True):
            with torch.cuda.stream(stream):
                device.backward_reserve(dy, reserve, fault=fault.data_ptr())
        told.append(library.cuda_fault(fault.data_ptr()))
    torch.cuda.synchronize()
    told.append(library.cuda_fault(fault.data_ptr()))
    messages = {message for message in told if message}
    assert messages
    numbers = {tuple(map(int, re.findall(r"[0-9]+", message))) for message in messages}
    assert numbers <= {(size + 1, size) for size in sizes}


_CAPTURED = """
import torch
from ort_rrelu import library

x = torch.zeros(64, device="cuda")
y, graph = torch.empty_like(x), torch.cuda.CUDAGraph()
with torch.cuda.graph(graph):
    call = library.CudaCall(torch.cuda.current_stream().cuda_stream)
    library.cuda_forward(library.Params(1, training=True), call, x.data_ptr(), y.data_ptr(), None, 0, 64)
graph.replay()
torch.cuda.synchronize()
print("replayed")
"""


def test_the_first_call_of_a_process_may_be_captured() -> None:
    assert subprocess.check_output([sys.executable, "-c", _CAPTURED], text=True) == "replayed\n"


def test_memory_of_the_host_is_refused() -> None:
    x = torch.zeros(8)
    params = library.Params(1, training=True)
    with pytest.raises(OSError, match=r"^x is not the address of CUDA device memory"):
        library.cuda_forward(params, library.CudaCall(), x.data_ptr(), x.data_ptr(), None, 0, 8)


def test_a_captured_graph_reads_step_at_each_replay() -> None:
    x = normal((5000,), 1)
    source, step = device.on_device(x), torch.zeros(1, dtype=torch.int64, device="cuda")
    y = torch.empty_like(source)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        call = library.CudaCall(device.stream(), step=step.data_ptr())
        params = library.Params(1, training=True, seed=5)
        library.cuda_forward(params, call, source.data_ptr(), y.data_ptr(), None, 0, x.size)
        step.add_(1)
    for expected in range(4):
        graph.replay()
        torch.cuda.synchronize()
        assert_same_bits(device.on_host(y), reference.rrelu(x, training=True, seed=5, step=expected))
