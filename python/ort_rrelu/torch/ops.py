"""The torch.library ops in the namespace ort_rrelu, on the kernels of the shared library.

rrelu(x, lower, upper, training, seed, step) -> (y, noise)
    seed None: key and step come from torch's generator, so that torch.manual_seed governs them.
    seed given: step is the number of the draw, one int64, or an int64 of shape [x.shape[0]], one for each row
    of x; None means 0.
rrelu_grad(dy, noise) -> dx
next_step(counter) -> step
    reads the counter and advances it in place, on its device.
check_forward(counter) -> ()
    in compiled code: is the forward whose steps it takes its own?

On CUDA all of it is queued on the current stream and nothing waits for the device, so that a captured CUDA
graph draws anew at each replay.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from ort_rrelu import library, schema
from ort_rrelu.arguments import not_steps
from ort_rrelu.errors import InvalidTypeError, InvalidValueError
from ort_rrelu.recomputation import Given, Steps
from ort_rrelu.torch import accepted, private

_DTYPES = {getattr(torch, dtype.name): number for dtype, number in schema.DTYPES.items()}
_NAMESPACE = schema.DOMAIN


@torch.library.custom_op(
    f"{_NAMESPACE}::rrelu",
    mutates_args=(),
    schema="(Tensor x, float lower, float upper, bool training, int? seed=None, Tensor? step=None)"
    " -> (Tensor, Tensor)",
    tags=(torch.Tag.nondeterministic_seeded,),
)
def rrelu(
    x: Tensor, lower: float, upper: float, training: bool, seed: int | None = None, step: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """RReLU of x and its noise, both in x's dtype, shape and memory format."""
    dtype = _dtype_number(x.dtype)
    _check_device(x)
    if step is not None and (step.numel() != 1 or step.dtype != torch.int64):
        check_step(x.shape, step.dtype, step.shape)
    drawn = _draw(x, seed, step) if training else None
    array = x.contiguous()
    y = _empty(array)
    noise = torch.empty_like(y)
    _run_forward(dtype, (lower, upper), drawn, array, y, noise)
    return _laid_out_as(x, y), _laid_out_as(x, noise)


@rrelu.register_fake
def _(
    x: Tensor, lower: float, upper: float, training: bool, seed: int | None = None, step: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    _dtype_number(x.dtype)
    # Symbolic sizes are left to the run: asked here, they would become guards.
    if step is not None and all(type(size) is int for size in (*step.shape, *x.shape[:1])):
        check_step(x.shape, step.dtype, step.shape)
    return _fake(x), _fake(x)


@torch.library.custom_op(f"{_NAMESPACE}::rrelu_grad", mutates_args=())
def rrelu_grad(dy: Tensor, noise: Tensor) -> Tensor:
    """dy * noise, in dy's dtype, shape and memory format."""
    dtype = _dtype_number(dy.dtype)
    _check_device(dy)
    if (noise.dtype, noise.shape, noise.device) != (dy.dtype, dy.shape, dy.device):
        raise InvalidValueError(
            f"noise has dtype {noise.dtype} and shape {list(noise.shape)}: "
            f"they must be {dy.dtype} and {list(dy.shape)}, as dy"
        )
    gradient, factor = dy.contiguous(), noise.contiguous()
    dx = _empty(gradient)
    _run_backward(dtype, gradient, factor, dx)
    return _laid_out_as(dy, dx)


@rrelu_grad.register_fake
def _(dy: Tensor, _noise: Tensor) -> Tensor:
    return _fake(dy)


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    ctx.save_for_backward(output[1])
    ctx.mark_non_differentiable(output[1])


def _backward(ctx: Any, dy: Tensor, _dnoise: Tensor) -> tuple[Tensor | None, ...]:
    (noise,) = ctx.saved_tensors
    return rrelu_grad(dy, noise), None, None, None, None, None


def _save_noise(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
    ctx.save_for_backward(inputs[1])


def _double_backward(ctx: Any, ddx: Tensor) -> tuple[Tensor | None, ...]:
    (noise,) = ctx.saved_tensors
    return rrelu_grad(ddx, noise), None


rrelu.register_autograd(_backward, setup_context=_save)
rrelu_grad.register_autograd(_double_backward, setup_context=_save_noise)


class _Autograd:
    checkpointing = "torch.utils.checkpoint"

    def mark(self) -> int:
        return int(torch.randint(2**63 - 1, (), dtype=torch.int64))

    def in_backward(self) -> bool:
        return private.in_backward()

    def read(self, counter: Tensor) -> int | Tensor:
        return counter.clone() if counter.is_cuda else int(counter)

    def advance(self, counter: Tensor) -> None:
        counter.add_(1)


_steps = Steps(_Autograd())


class GivenStepError(InvalidValueError):
    """What next_step has for the recomputation of a call that did not count: its step, and more."""

    def __init__(self, given: Given) -> None:
        super().__init__(
            "a compiled RReLU runs again during backward, and took its step from the call of the network in "
            "the forward: compile it together with its torch.utils.checkpoint, or pass step= to the module"
        )
        self.given = given


@torch.library.custom_op(
    f"{_NAMESPACE}::next_step", mutates_args=("counter",), tags=(torch.Tag.nondeterministic_seeded,)
)
def next_step(counter: Tensor, remember: bool = True) -> Tensor:
    """The step of this call, an int64 scalar; the counter moves on unless a forward is being recomputed.

    remember=False: no recomputation will find this call's step, and nothing outlives the call.
    """
    step = _steps.take(counter, remember and not _capturing(counter))
    if isinstance(step, Given):
        raise GivenStepError(step)
    return step.clone() if isinstance(step, Tensor) else torch.scalar_tensor(step, dtype=torch.int64)


@next_step.register_fake
def _(counter: Tensor, _remember: bool = True) -> Tensor:
    return torch.empty_like(counter)


def remember(counter: Tensor, step: Tensor, place: int) -> None:
    """Let a recomputation of this call find the step that it was given. The counter is that of its module."""
    if private.in_fake_mode() or counter.is_meta:
        return
    local = _local(counter)
    _steps.give(local, Given(step, place, step.numel()), not _capturing(local))


@torch.library.custom_op(f"{_NAMESPACE}::check_forward", mutates_args=("counter",))
def check_forward(counter: Tensor) -> None:
    """Raise InvalidValueError where compiled code would take the steps of a forward that it is no part of.

    Compiled code reads the thread's forward, and cannot ask whether it runs in a backward pass inside of it.
    The counter is not written: an op that says so is not left out where nobody reads an answer of it.
    """
    if accepted.current() is None:
        raise InvalidValueError(
            "a compiled RReLU runs again during backward, inside of another forward that was given step=: "
            "call backward() outside of that forward, compile the module together with its "
            "torch.utils.checkpoint, or pass step= to the module"
        )


@check_forward.register_fake
def _(counter: Tensor) -> None:
    return None


def _local(counter: Tensor) -> Tensor:
    """What is in a DTensor, which is the same everywhere."""
    local: Tensor = counter if type(counter) is Tensor else counter.to_local()  # type: ignore[attr-defined]
    return local


def _capturing(counter: Tensor) -> bool:
    """Is a CUDA graph being captured, whose memory is the graph's and must not be kept?"""
    return counter.is_cuda and torch.cuda.is_current_stream_capturing()


def _dtype_number(dtype: torch.dtype) -> int:
    if dtype not in _DTYPES:
        raise InvalidTypeError(f"x has dtype {dtype}: it must be one of {', '.join(map(str, _DTYPES))}")
    return _DTYPES[dtype]


def check_arguments(dtype: torch.dtype, lower: float, upper: float) -> None:
    """Raise what the op would raise for these."""
    library.check(library.Params(_dtype_number(dtype), lower, upper))


def _check_device(x: Tensor) -> None:
    """The CPU or CUDA; whether CUDA can be used is the library's to say."""
    if not (x.is_cpu or x.is_cuda):
        raise InvalidValueError(f"x is on device {x.device}: ort_rrelu runs on the CPU and on CUDA")


def _empty(contiguous: Tensor) -> Tensor:
    # Axes of one element may have any stride in a contiguous tensor; results have the usual ones, as torch's.
    return torch.empty_like(contiguous, memory_format=torch.contiguous_format)


def _fake(x: Tensor) -> Tensor:
    return _empty(x) if x.is_contiguous() else torch.empty_like(x)


def _laid_out_as(x: Tensor, contiguous: Tensor) -> Tensor:
    """Slopes follow the logical order of elements; results keep x's memory format."""
    return contiguous if x.is_contiguous() else torch.empty_like(x).copy_(contiguous)


class _Draw(NamedTuple):
    """Key and step: numbers here, or one-element tensors on the device, which is where they are read.

    steps: those of rows, contiguous and on the device of x, in the place of step.
    """

    seed: int | Tensor = 0
    step: int | Tensor = 0
    steps: Tensor | None = None


_NO_DRAW = _Draw()


def _draw(x: Tensor, seed: int | None, step: Tensor | None) -> _Draw:
    """seed None: both from torch's generator of x's device. On CUDA nothing waits for the device."""
    if seed is None:
        numbers = torch.randint(-(2**63), 2**63 - 1, (2,), dtype=torch.int64, device=x.device)
        return _Draw(numbers[0], numbers[1]) if numbers.is_cuda else _Draw(*numbers.tolist())
    if step is None:
        return _Draw(seed)
    if step.numel() != 1:
        return _Draw(seed, steps=step.to(x.device).contiguous())
    return _Draw(seed, step.to(x.device) if x.is_cuda and step.is_cuda else int(step))


def are_rows(step: Tensor) -> bool:
    """Is it a step for each row? One element is that of a whole tensor."""
    return step.ndim == 1 and step.numel() != 1


def check_step(shape: torch.Size, dtype: torch.dtype, step: torch.Size) -> None:
    """Raise InvalidValueError for a step of another type or shape than an x of `shape` allows."""
    if dtype != torch.int64 or not (step.numel() == 1 or (shape and step == shape[:1])):
        raise not_steps(dtype, step, shape)


def _run_forward(
    dtype: int, bounds: tuple[float, float], drawn: _Draw | None, x: Tensor, y: Tensor, noise: Tensor
) -> None:
    """Y and noise of contiguous tensors; drawn is None in eval mode."""
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
    addresses = _read_only(x), y.data_ptr(), noise.data_ptr()
    if x.is_cuda:
        call = library.CudaCall(_stream(x), _address(number.seed), _address(number.step))
        library.cuda_forward(params, call, *addresses, 0, x.numel())
    else:
        library.forward(params, *addresses, 0, x.numel())


def _run_backward(dtype: int, dy: Tensor, noise: Tensor, dx: Tensor) -> None:
    """dX of contiguous tensors."""
    params = library.Params(dtype, num_threads=torch.get_num_threads())
    addresses = _read_only(dy), _read_only(noise), dx.data_ptr()
    if dy.is_cuda:
        library.cuda_backward(params, library.CudaCall(_stream(dy)), *addresses, 0, dx.numel())
    else:
        library.backward(params, *addresses, 0, dx.numel())


def _stream(x: Tensor) -> int:
    return int(torch.cuda.current_stream(x.device).cuda_stream)


def _on_host(value: int | Tensor) -> int:
    return 0 if isinstance(value, Tensor) else value


def _read_only(tensor: Tensor) -> int:
    """The address of a tensor that is only read: a copy-on-write one (torch._lazy_clone) stays lazy."""
    if not private.is_copy_on_write(tensor):
        return tensor.data_ptr()
    return private.storage_address(tensor) + int(tensor.storage_offset()) * tensor.element_size()


def _address(value: int | Tensor) -> int | None:
    return value.data_ptr() if isinstance(value, Tensor) else None
