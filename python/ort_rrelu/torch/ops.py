"""The torch.library ops ort_rrelu::rrelu, rrelu_grad and next_step, on the kernels of the shared library.

rrelu(x, lower, upper, training, seed, step) -> (y, noise)
    seed None: key and step come from torch's generator, so that torch.manual_seed governs them.
    seed given: step is the number of the draw; None means 0.
rrelu_grad(dy, noise) -> dx
next_step(counter) -> step
    reads the counter and advances it in place.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ort_rrelu import library, schema
from ort_rrelu.errors import InvalidTypeError, InvalidValueError
from ort_rrelu.recomputation import Steps

__all__ = ["next_step", "rrelu", "rrelu_grad"]

_DTYPES = {getattr(torch, dtype.name): number for dtype, number in schema.DTYPES.items()}
_NAMESPACE = schema.DOMAIN


class _Autograd:
    checkpointing = "torch.utils.checkpoint"

    def mark(self) -> int:
        return int(torch.randint(2**63 - 1, (), dtype=torch.int64))

    def in_backward(self) -> bool:
        return torch._C._current_graph_task_id() != -1

    def advance(self, counter: Tensor) -> None:
        counter.add_(1)


_steps = Steps(_Autograd())


def _dtype(x: Tensor) -> int:
    if x.dtype not in _DTYPES:
        raise InvalidTypeError(f"x has dtype {x.dtype}: it must be one of {', '.join(map(str, _DTYPES))}")
    return _DTYPES[x.dtype]


def _check_device(x: Tensor) -> None:
    if x.device.type != "cpu":
        raise InvalidValueError(f"x is on device {x.device}: this version of ort_rrelu runs on the CPU only")


def _laid_out_as(x: Tensor, contiguous: Tensor) -> Tensor:
    """Slopes follow the logical order of elements; results keep x's memory format."""
    return contiguous if x.is_contiguous() else torch.empty_like(x).copy_(contiguous)


def _draw(seed: int | None, step: Tensor | None) -> tuple[int, int]:
    if seed is None:
        key, number = torch.randint(-(2**63), 2**63 - 1, (2,), dtype=torch.int64).tolist()
        return key, number
    if step is None:
        return seed, 0
    if step.numel() != 1 or step.dtype != torch.int64:
        raise InvalidValueError(
            f"step has dtype {step.dtype} and shape {list(step.shape)}: it must be one int64 element"
        )
    return seed, int(step)


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
    dtype = _dtype(x)
    _check_device(x)
    key, number = _draw(seed, step) if training else (0, 0)
    array = x.contiguous()
    y, noise = torch.empty_like(array), torch.empty_like(array)
    params = library.Params(dtype, lower, upper, training, key, number, torch.get_num_threads())
    library.forward(params, array.data_ptr(), y.data_ptr(), noise.data_ptr(), 0, array.numel())
    return _laid_out_as(x, y), _laid_out_as(x, noise)


@rrelu.register_fake
def _(x: Tensor, *_: Any) -> tuple[Tensor, Tensor]:
    _dtype(x)
    return torch.empty_like(x), torch.empty_like(x)


@torch.library.custom_op(f"{_NAMESPACE}::rrelu_grad", mutates_args=())
def rrelu_grad(dy: Tensor, noise: Tensor) -> Tensor:
    """dy * noise, in dy's dtype, shape and memory format."""
    dtype = _dtype(dy)
    _check_device(dy)
    if (noise.dtype, noise.shape, noise.device) != (dy.dtype, dy.shape, dy.device):
        raise InvalidValueError(
            f"noise has dtype {noise.dtype} and shape {list(noise.shape)}: "
            f"they must be {dy.dtype} and {list(dy.shape)}, as dy"
        )
    gradient, factor = dy.contiguous(), noise.contiguous()
    dx = torch.empty_like(gradient)
    params = library.Params(dtype, num_threads=torch.get_num_threads())
    library.backward(params, gradient.data_ptr(), factor.data_ptr(), dx.data_ptr(), 0, dx.numel())
    return _laid_out_as(dy, dx)


@rrelu_grad.register_fake
def _(dy: Tensor, _noise: Tensor) -> Tensor:
    return torch.empty_like(dy)


@torch.library.custom_op(
    f"{_NAMESPACE}::next_step", mutates_args=("counter",), tags=(torch.Tag.nondeterministic_seeded,)
)
def next_step(counter: Tensor) -> Tensor:
    """The step of this call, an int64 scalar; the counter moves on unless a forward is being recomputed."""
    return torch.tensor(_steps.take(counter))


@next_step.register_fake
def _(counter: Tensor) -> Tensor:
    return torch.empty_like(counter)


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
