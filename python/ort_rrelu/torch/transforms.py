"""RReLU under torch.func and forward-mode differentiation: batching rules, and steps taken there.

torch.vmap follows torch.nn.functional.dropout in train mode:
    randomness="error": refused.
    randomness="same": every sample draws the slopes of a sample's shape, as the call on one sample alone.
    randomness="different": the slopes of the samples as one tensor, with the vmapped dimension in front; so
        vmap(module, randomness="different")(x) is module(x). Nested vmaps put the outer dimension first.
A counted module takes one step for the whole call. Steps that are given apart say what is drawn, whatever the
randomness: where step= is vmapped over, each sample draws what it draws alone at its step or steps; where it
is not and has one for each row of a sample, it serves every sample, so that they share their slopes.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor

from ort_rrelu.errors import InvalidValueError, RandomnessError
from ort_rrelu.torch import kernels, ops, private
from ort_rrelu.torch.private import VmapInterpreter

Both = tuple[Tensor, Tensor]  # y and noise


def active() -> bool:
    """Is forward-mode differentiation or torch.func at work, for which a custom op has no rules?"""
    return _in_torch_func() or private.in_forward_mode()


def _in_torch_func() -> bool:
    return private.innermost_transform() is not None


def eval_slope(dtype: torch.dtype, lower: float, upper: float) -> float:
    """The slope that torch's leaky_relu takes for these bounds, which are checked."""
    return _known_slope(dtype, lower, upper) or _mean(lower, upper)  # -0.0 and 0.0 are one key


@functools.lru_cache
def _known_slope(dtype: torch.dtype, lower: float, upper: float) -> float:
    kernels.check_arguments(dtype, lower, upper)
    return _mean(lower, upper)


def _mean(lower: float, upper: float) -> float:
    return (ctypes.c_float(lower).value + ctypes.c_float(upper).value) / 2


# Compiled code is guarded on the stack of transforms anyway.
private.constant_in_compiled_code(_in_torch_func)
private.constant_in_compiled_code(eval_slope)


def activate(x: Tensor, lower: float, upper: float, training: bool, seed: int | None, step: Any) -> Tensor:
    """RReLU of x in operators of torch, which has every rule for them; the slopes are constants."""
    if training:
        with _without_legacy_vmap():
            noise: Tensor = ops.rrelu(x.detach(), lower, upper, True, seed, step)[1]
        return x * noise
    if step is not None:
        kernels.check_step(x.shape, step.dtype, step.shape)
    return torch.nn.functional.leaky_relu(x, eval_slope(x.dtype, lower, upper))


def next_step(counter: Tensor) -> Tensor:
    """The step of a counted call. A refused one leaves the counter alone."""
    for interpreter in private.all_transforms():
        if isinstance(interpreter, VmapInterpreter):
            _refuse_error_mode(interpreter)
    if not private.is_wrapped(counter):
        with private.WithoutTransforms(), _without_legacy_vmap():
            taken: Tensor = ops.next_step(counter)
            return taken
    if _is_vmapped(counter):
        raise InvalidValueError(
            "the step counter is vmapped over (torch.func.stack_module_state makes such buffers): the models "
            "would share one seed, and so their slopes; use modules without a seed, or pass step= with "
            "numbers that differ"
        )
    step = counter.clone()
    counter.add_(1)
    return step


def _without_legacy_vmap() -> AbstractContextManager[Any]:
    return nullcontext() if torch.compiler.is_compiling() else private.without_legacy_vmap()


def _is_vmapped(tensor: Tensor) -> bool:
    while private.is_wrapped(tensor):
        if private.is_batched(tensor):
            return True
        tensor = private.unwrapped(tensor)
    return False


def _refuse_error_mode(interpreter: VmapInterpreter) -> None:
    if interpreter.randomness() == "error":
        raise RandomnessError(
            "vmap: RReLU in train mode called a random operation while in randomness error mode: give "
            "torch.vmap randomness='different' for other slopes for each sample, 'same' for shared ones, or "
            "vmap over step= too; where a transform has no such argument (torch.func.hessian), write "
            "torch.func.jacfwd(torch.func.jacrev(f), randomness='same')"
        )


def _in_front(tensor: Tensor, dim: int | None, size: int) -> Tensor:
    """The samples as one tensor; what is not vmapped over is repeated, without a copy."""
    return tensor.expand(size, *tensor.shape) if dim is None else tensor.movedim(dim, 0)


def _vmapped_rrelu(
    _keys: Any,
    x: Tensor,
    lower: float,
    upper: float,
    training: bool,
    seed: int | None = None,
    step: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    interpreter = private.current_transform()
    assert isinstance(interpreter, VmapInterpreter)
    level = interpreter.level()
    x, dim = private.unwrap_batched(x, level)
    step, step_dim = (None, None) if step is None else private.unwrap_batched(step, level)

    def call(tensor: Tensor, step: Tensor | None = step) -> Both:
        both: Both = ops.rrelu(tensor, lower, upper, training, seed, step)
        return both

    def rule() -> tuple[Both, int | None]:
        size = interpreter.batch_size()
        if step is not None:
            kernels.check_step(_of_sample(x, dim), step.dtype, _of_sample(step, step_dim))
        if not training:
            return call(x), dim
        if seed is not None and step is not None and _are_steps_of_rows(step, step_dim):
            if dim is None and step_dim is None:
                return call(x), None
            return _each_row_alone(call, _in_front(x, dim, size), _in_front(step, step_dim, size)), 0
        if seed is not None and step is not None and step_dim is not None:
            return _each_alone(call, _in_front(x, dim, size), step.movedim(step_dim, 0)), 0
        _refuse_error_mode(interpreter)
        if interpreter.randomness() == "different":
            return call(_in_front(x, dim, size)), 0
        if dim is None:
            return call(x), None
        return _with_shared_slopes(call, x.movedim(dim, 0)), 0

    with private.without_vmap():
        (y, noise), out_dim = rule()
    if out_dim is None:
        return y, noise
    return private.add_batch_dim(y, out_dim, level), private.add_batch_dim(noise, out_dim, level)


def _of_sample(tensor: Tensor, dim: int | None) -> torch.Size:
    """The shape that one sample has."""
    sizes = list(tensor.shape)
    if dim is not None:
        del sizes[dim]
    return torch.Size(sizes)


def _are_steps_of_rows(step: Tensor, dim: int | None) -> bool:
    sizes = _of_sample(step, dim)
    return len(sizes) == 1 and sizes[0] != 1


def _each_alone(call: Callable[[Tensor, Tensor], Both], samples: Tensor, steps: Tensor) -> Both:
    if not (_is_vmapped(samples) or _is_vmapped(steps)):
        return call(samples, steps.reshape(len(samples)))
    # An outer vmap takes the one step of each call for all of its samples.
    if not len(samples):
        return torch.empty_like(samples), torch.empty_like(samples)
    pairs = [call(sample, step) for sample, step in zip(samples, steps, strict=True)]
    ys, noises = zip(*pairs, strict=True)
    return torch.stack(ys), torch.stack(noises)


def _each_row_alone(call: Callable[[Tensor, Tensor], Both], samples: Tensor, steps: Tensor) -> Both:
    y, noise = call(samples.flatten(0, 1), steps.flatten())
    return y.view(samples.shape), noise.view(samples.shape)


def _with_shared_slopes(call: Callable[[Tensor], Both], samples: Tensor) -> Both:
    # Of zeros the noise is the slope everywhere.
    slopes = call(samples.new_zeros(samples.shape[1:]))[1]
    noise = torch.where(samples <= 0, slopes, 1)
    return samples * noise, noise


def _vmapped_gradient(
    info: Any, in_dims: tuple[int | None, int | None], dy: Tensor, noise: Tensor
) -> tuple[Tensor, int]:
    pairs = zip((dy, noise), in_dims, strict=True)
    return ops.rrelu_grad(*(_in_front(tensor, dim, info.batch_size) for tensor, dim in pairs)), 0


# Not register_vmap: it is not asked where no argument is vmapped over, and such a call is random, too.
ops.LIBRARY.impl(  # type: ignore[no-untyped-call]
    "rrelu", _vmapped_rrelu, "FuncTorchVmapMode", with_keyset=True
)
torch.library.register_vmap("ort_rrelu::rrelu_grad", _vmapped_gradient, lib=ops.LIBRARY)
