"""Arrays on the device, by torch's memory, and the library's calls on them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import Tensor

from ort_rrelu import library, schema
from tests.draws import Draw
from tests.onnx_models import Array
from tests.torch.arrays import array, tensor

_HAS_KERNELS = library.build_info()["cuda"] is not None


def needs_gpu() -> list[pytest.MarkDecorator]:
    """The marks of a file of tests on the GPU."""
    reason = "there is no NVIDIA GPU here" if _HAS_KERNELS else "the library was built without CUDA kernels"
    runs = _HAS_KERNELS and torch.cuda.is_available()
    return [pytest.mark.gpu, pytest.mark.skipif(not runs, reason=reason)]


def on_device(values: Array, offset: int = 0) -> Tensor:
    """A contiguous tensor with these values, `offset` elements after an aligned address."""
    flat = tensor(np.ascontiguousarray(values).reshape(-1))
    room = torch.empty(offset + flat.numel(), dtype=flat.dtype, device="cuda")
    return room[offset:].copy_(flat).view(values.shape)


def on_host(values: Tensor) -> Array:
    return array(values.cpu())


def stream() -> int:
    return int(torch.cuda.current_stream().cuda_stream)


def new_stream() -> torch.cuda.Stream:
    made: torch.cuda.Stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    return made


@dataclass(frozen=True)
class Saved:
    y: Tensor
    noise: Tensor
    reserve: Tensor


def _params(x: Tensor, draw: Draw) -> library.Params:
    dtype = {torch.bfloat16: "bfloat16"}.get(x.dtype) or str(x.dtype).removeprefix("torch.")
    number = next(code for kind, code in schema.DTYPES.items() if kind.name == dtype)
    step = draw.step if isinstance(draw.step, int) else 0
    return library.Params(number, draw.lower, draw.upper, draw.training, draw.seed, step)


def _steps_on_device(draw: Draw, offset: int) -> Tensor:
    """The steps of rows as bytes, `offset` bytes after an aligned address; none where one step draws all."""
    steps = np.array([] if isinstance(draw.step, int) else draw.step, np.int64)
    return on_device(steps.view(np.uint8), offset)


def forward(
    x: Tensor, draw: Draw, *, offset: int = 0, call: library.CudaCall | None = None, in_place: bool = False
) -> Saved:
    """Y, noise and reserve of one launch. What it should not touch is checked to be as it was."""

    def room(size: int, dtype: torch.dtype) -> Tensor:
        return torch.full((offset + size + 16,), 77, dtype=dtype, device="cuda")

    size, steps = x.numel(), _steps_on_device(draw, offset)
    params = _params(x, draw)
    if rows := steps.numel() // 8:
        params = params._replace(steps=steps.data_ptr(), rows=rows)
    reserve_bytes = library.reserve_bytes(size, rows)
    rooms = [room(size, x.dtype), room(size, x.dtype), room(reserve_bytes, torch.uint8)]
    y, noise, reserve = (r[offset : r.numel() - 16] for r in rooms)
    target = x.view(-1) if in_place else y
    library.cuda_forward(
        params,
        call or library.CudaCall(stream()),
        *(x.data_ptr(), target.data_ptr(), noise.data_ptr(), 0, size),
        reserve=reserve.data_ptr(),
    )
    for r in rooms:
        assert bool((r[:offset] == 77).all())
        assert bool((r[-16:] == 77).all())
    return Saved(target.view(x.shape), noise.view(x.shape), reserve)


def backward(dy: Tensor, noise: Tensor) -> Tensor:
    dx = torch.empty_like(dy)
    addresses = dy.data_ptr(), noise.data_ptr(), dx.data_ptr()
    library.cuda_backward(_params(dy, Draw()), library.CudaCall(stream()), *addresses, 0, dy.numel())
    return dx


def backward_reserve(dy: Tensor, reserve: Tensor, *, fault: int | None = None) -> Tensor:
    dx = torch.empty_like(dy)
    addresses = dy.data_ptr(), reserve.data_ptr(), reserve.numel(), dx.data_ptr()
    call = library.CudaCall(stream(), fault=fault)
    library.cuda_backward_reserve(_params(dy, Draw()), call, *addresses, dy.numel(), 0, dy.numel())
    return dx
