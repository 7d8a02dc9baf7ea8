"""The library's calls on tensors, on the device that they are on."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ort_rrelu import library
from ort_rrelu.errors import InvalidValueError

__all__ = ["Draw", "backward", "check_device", "draw", "forward"]


class Draw(NamedTuple):
    """Key and step: numbers here, or one-element tensors on the device, which is where they are read."""

    seed: int | Tensor = 0
    step: int | Tensor = 0


_NO_DRAW = Draw()


def check_device(x: Tensor) -> None:
    """The CPU or CUDA; whether CUDA can be used is the library's to say."""
    if x.device.type not in {"cpu", "cuda"}:
        raise InvalidValueError(f"x is on device {x.device}: ort_rrelu runs on the CPU and on CUDA")


def draw(device: torch.device, seed: int | None, step: Tensor | None) -> Draw:
    """seed None: both from torch's generator of the device. On CUDA nothing waits for the device."""
    if seed is None:
        numbers = torch.randint(-(2**63), 2**63 - 1, (2,), dtype=torch.int64, device=device)
        return Draw(numbers[0], numbers[1]) if numbers.is_cuda else Draw(*numbers.tolist())
    if step is None:
        return Draw(seed)
    if step.numel() != 1 or step.dtype != torch.int64:
        raise InvalidValueError(
            f"step has dtype {step.dtype} and shape {list(step.shape)}: it must be one int64 element"
        )
    read_there = device.type == step.device.type == "cuda"
    return Draw(seed, step.to(device) if read_there else int(step))


def _number(value: int | Tensor) -> int:
    return 0 if isinstance(value, Tensor) else value


def _read_only(tensor: Tensor) -> int:
    """The address of a tensor that is only read: a copy-on-write one (torch._lazy_clone) stays lazy."""
    if not torch._C._is_cow_tensor(tensor):  # type: ignore[attr-defined]
        return tensor.data_ptr()
    storage: int = torch._C._data_address(tensor)  # type: ignore[attr-defined]
    return storage + int(tensor.storage_offset()) * tensor.element_size()


def _address(value: int | Tensor) -> int | None:
    return value.data_ptr() if isinstance(value, Tensor) else None


def forward(
    dtype: int, bounds: tuple[float, float], drawn: Draw | None, x: Tensor, y: Tensor, noise: Tensor
) -> None:
    """Y and noise of contiguous tensors; drawn is None in eval mode."""
    number = _NO_DRAW if drawn is None else drawn
    params = library.Params(
        dtype,
        *bounds,
        drawn is not None,
        _number(number.seed),
        _number(number.step),
        torch.get_num_threads(),
    )
    addresses = _read_only(x), y.data_ptr(), noise.data_ptr()
    if x.is_cuda:
        call = library.CudaCall(_stream(x), _address(number.seed), _address(number.step))
        library.cuda_forward(params, call, *addresses, 0, x.numel())
    else:
        library.forward(params, *addresses, 0, x.numel())


def backward(dtype: int, dy: Tensor, noise: Tensor, dx: Tensor) -> None:
    """dX of contiguous tensors."""
    params = library.Params(dtype, num_threads=torch.get_num_threads())
    addresses = _read_only(dy), _read_only(noise), dx.data_ptr()
    if dy.is_cuda:
        library.cuda_backward(params, library.CudaCall(_stream(dy)), *addresses, 0, dx.numel())
    else:
        library.backward(params, *addresses, 0, dx.numel())


def _stream(x: Tensor) -> int:
    return int(torch.cuda.current_stream(x.device).cuda_stream)
