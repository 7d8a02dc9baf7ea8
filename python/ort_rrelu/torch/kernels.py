"""The kernels of the shared library on torch's tensors, on the CPU and on CUDA: no operator, no gradient.

On CUDA all of it is queued on the current stream and nothing waits for the device, so that a captured CUDA
graph draws anew at each replay.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch import Tensor

from ort_rrelu import library, schema
from ort_rrelu.arguments import not_steps
from ort_rrelu.errors import InvalidTypeError, InvalidValueError
from ort_rrelu.torch import private

_DTYPES = {getattr(torch, dtype.name): number for dtype, number in schema.DTYPES.items()}

# What a forward writes beside y.
Kept = Literal["noise", "reserve"]


class Draw(NamedTuple):
    """Key and step: numbers here, or one-element tensors on the device, which is where they are read.

    steps: those of rows, contiguous and on the device of x, in the place of step.
    """

    seed: int | Tensor = 0
    step: int | Tensor = 0
    steps: Tensor | None = None

    @property
    def rows(self) -> int:
        """How many rows have a step of their own."""
        return 0 if self.steps is None else self.steps.numel()


_NO_DRAW = Draw()


def draw(x: Tensor, seed: int | None, step: int | Tensor | None) -> Draw:
    """seed None: both from torch's generator of x's device. On CUDA nothing waits for the device."""
    if seed is None:
        numbers = torch.randint(-(2**63), 2**63 - 1, (2,), dtype=torch.int64, device=x.device)
        return Draw(numbers[0], numbers[1]) if numbers.is_cuda else Draw(*numbers.tolist())
    if step is None or isinstance(step, int):
        return Draw(seed, step or 0)
    if step.is_meta:
        raise InvalidValueError(
            "step is on device meta, where it has no value: it must be on the CPU or CUDA"
        )
    if step.numel() != 1:
        # A lazily negated one (torch._neg_view) has other numbers in memory.
        return Draw(seed, steps=step.to(x.device).resolve_neg().contiguous())
    return Draw(seed, step.to(x.device) if x.is_cuda and step.is_cuda else int(step))


def rrelu(
    x: Tensor,
    lower: float,
    upper: float,
    drawn: Draw | None,
    keep: Kept | None = None,
    *,
    inplace: bool = False,
) -> tuple[Tensor, Tensor | None]:
    """RReLU of x, and what was asked for beside it. drawn is None in eval mode.

    y and noise have x's dtype, shape and memory format. inplace: y is x, which must be contiguous.
    """
    dtype = dtype_number(x.dtype)
    check_device(x)
    array = x if inplace else x.contiguous()
    y = array if inplace else _empty(array)
    noise = torch.empty_like(y) if keep == "noise" else None
    reserve = _empty_reserve(x, drawn) if keep == "reserve" else None
    _run_forward(dtype, (lower, upper), drawn, array, y, noise, reserve)
    return laid_out_as(x, y), reserve if noise is None else laid_out_as(x, noise)


def gradient(dy: Tensor, noise: Tensor) -> Tensor:
    """dy * noise, in dy's dtype, shape and memory format."""
    dtype = dtype_number(dy.dtype)
    check_device(dy)
    if (noise.dtype, noise.shape, noise.device) != (dy.dtype, dy.shape, dy.device):
        raise InvalidValueError(
            f"noise has dtype {noise.dtype} and shape {list(noise.shape)}: "
            f"they must be {dy.dtype} and {list(dy.shape)}, as dy"
        )
    array, factor = dy.contiguous(), noise.contiguous()
    dx = _empty(array)
    params = library.Params(dtype, num_threads=torch.get_num_threads())
    addresses = _read_only(array), _read_only(factor), dx.data_ptr()
    if dy.is_cuda:
        library.cuda_backward(params, library.CudaCall(_stream(dy)), *addresses, 0, dx.numel())
    else:
        library.backward(params, *addresses, 0, dx.numel())
    return laid_out_as(dy, dx)


def gradient_of_reserve(dy: Tensor, reserve: Tensor) -> Tensor:
    """The same from a reserve."""
    dtype = dtype_number(dy.dtype)
    check_device(dy)
    if reserve.dtype != torch.uint8 or reserve.ndim != 1 or reserve.device != dy.device:
        raise InvalidValueError(
            f"reserve has dtype {reserve.dtype} and shape {list(reserve.shape)} on {reserve.device}: it must "
            f"be torch.uint8, of one dimension, on {dy.device}"
        )
    array, saved = dy.contiguous(), reserve.contiguous()
    dx = _empty(array) if array is dy else array  # a copy of our own can be written over
    size, params = dx.numel(), library.Params(dtype, num_threads=torch.get_num_threads())
    target = dx.data_ptr()
    addresses = _read_only(array), _read_only(saved), saved.numel(), target, size, 0, size
    if dy.is_cuda:
        library.cuda_backward_reserve(params, library.CudaCall(_stream(dy)), *addresses)
    else:
        library.backward_reserve(params, *addresses)
    return laid_out_as(dy, dx)


def dtype_number(dtype: torch.dtype) -> int:
    """The number of x's dtype, or InvalidTypeError."""
    if dtype not in _DTYPES:
        raise InvalidTypeError(f"x has dtype {dtype}: it must be one of {', '.join(map(str, _DTYPES))}")
    return _DTYPES[dtype]


def check_arguments(dtype: torch.dtype, lower: float, upper: float) -> None:
    """Raise what a kernel would raise for these."""
    library.check(library.Params(dtype_number(dtype), lower, upper))


def check_device(x: Tensor) -> None:
    """The CPU or CUDA; whether CUDA can be used is the library's to say."""
    if not (x.is_cpu or x.is_cuda):
        raise InvalidValueError(f"x is on device {x.device}: ort_rrelu runs on the CPU and on CUDA")


def are_rows(step: Tensor) -> bool:
    """Is it a step for each row? One element is that of a whole tensor."""
    return step.ndim == 1 and step.numel() != 1


def check_step(shape: torch.Size, dtype: torch.dtype, step: torch.Size) -> None:
    """Raise InvalidValueError for a step of another type or shape than an x of `shape` allows."""
    if dtype != torch.int64 or not (step.numel() == 1 or (shape and step == shape[:1])):
        raise not_steps(dtype, step, shape)


def laid_out_as(x: Tensor, contiguous: Tensor) -> Tensor:
    """Slopes follow the logical order of elements; results keep x's memory format."""
    return contiguous if x.is_contiguous() else torch.empty_like(x).copy_(contiguous)


def _empty(contiguous: Tensor) -> Tensor:
    # Axes of one element may have any stride in a contiguous tensor; results have the usual ones, as torch's.
    return torch.empty_like(contiguous, memory_format=torch.contiguous_format)


def _empty_reserve(x: Tensor, drawn: Draw | None) -> Tensor:
    rows = 0 if drawn is None else drawn.rows
    return torch.empty(library.reserve_bytes(x.numel(), rows), dtype=torch.uint8, device=x.device)


def _run_forward(
    dtype: int,
    bounds: tuple[float, float],
    drawn: Draw | None,
    x: Tensor,
    y: Tensor,
    noise: Tensor | None,
    reserve: Tensor | None,
) -> None:
    """y, and noise or reserve, of contiguous tensors."""
    number = _NO_DRAW if drawn is None else drawn
    params = library.Params(
        dtype,
        *bounds,
        drawn is not None,
        _on_host(number.seed),
        _on_host(number.step),
        torch.get_num_threads(),
    )
    if number.steps is not None:
        params = params._replace(steps=number.steps.data_ptr(), rows=number.steps.numel())
    written = y.data_ptr()  # before x, which it may be: a lazy clone that is written to moves
    addresses = _read_only(x), written, _address(noise)
    if x.is_cuda:
        call = library.CudaCall(_stream(x), _on_device(number.seed), _on_device(number.step))
        library.cuda_forward(params, call, *addresses, 0, x.numel(), reserve=_address(reserve))
    else:
        library.forward(params, *addresses, 0, x.numel(), reserve=_address(reserve))


def _stream(x: Tensor) -> int:
    return int(torch.cuda.current_stream(x.device).cuda_stream)


def _on_host(value: int | Tensor) -> int:
    return 0 if isinstance(value, Tensor) else value


def _on_device(value: int | Tensor) -> int | None:
    return value.data_ptr() if isinstance(value, Tensor) else None


def _address(tensor: Tensor | None) -> int | None:
    return None if tensor is None else tensor.data_ptr()


def _read_only(tensor: Tensor) -> int:
    """The address of a tensor that is only read: a copy-on-write one (torch._lazy_clone) stays lazy."""
    if not private.is_copy_on_write(tensor):
        return tensor.data_ptr()
    return private.storage_address(tensor) + int(tensor.storage_offset()) * tensor.element_size()
