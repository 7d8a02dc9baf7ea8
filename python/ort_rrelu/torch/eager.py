"""RReLU of plain tensors in eager mode: the kernels are called past torch's dispatcher, which nobody watches.

A call of an operator that Python implements takes longer than the kernel on a thousand elements. So where a
call has nothing to do but compute (`takes`), it computes, and autograd keeps what is smallest:

- below RESERVE_FROM elements the noise, by which torch multiplies: a product of torch costs autograd less
  than a function of ours;
- from there on the reserve, one bit an element.

Gradients of such a call may meet all that torch has (double backward, vmap, forward mode): they are operators
again.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.profiler import record_function

from ort_rrelu import library
from ort_rrelu.torch import kernels, ops, private, transforms
from ort_rrelu.torch.kernels import Draw, Kept

RESERVE_FROM = 32_768  # elements

_SUBNORMAL, _ONE = 5e-324, 1.0


def takes(x: Tensor) -> bool:
    """Is this a call of plain eager code on a plain tensor, of which nobody wants to see the operator?

    Not where the thread flushes subnormals (torch.set_flush_denormal), as torch would in its part of it.
    """
    return private.is_plain_call(x) and _SUBNORMAL * _ONE != 0


def rrelu(
    x: Tensor,
    lower: float,
    upper: float,
    training: bool,
    seed: int | None,
    step: int | Tensor | None,
    inplace: bool,
) -> Tensor:
    """RReLU of an x that `takes` has taken; x itself where inplace."""
    if isinstance(step, Tensor) and (step.numel() != 1 or step.dtype != torch.int64):
        kernels.check_step(x.shape, step.dtype, step.shape)
    if not training:
        return evaluated(x, lower, upper, inplace)
    drawn = kernels.draw(x, seed, step)
    if not (x.requires_grad and torch.is_grad_enabled()):
        return _without_gradient(x, lower, upper, drawn, inplace)
    if _has_small_reserve(x, drawn):
        return _with_reserve(x, lower, upper, drawn, inplace)
    return _by_noise(x, lower, upper, drawn, inplace)


def evaluated(x: Tensor, lower: float, upper: float, inplace: bool) -> Tensor:
    """The same in eval mode."""
    if not (x.requires_grad and torch.is_grad_enabled()):
        # A large one would meet torch's pool of threads, which does not survive fork().
        if x.numel() >= RESERVE_FROM and x.is_contiguous():
            return _without_gradient(x, lower, upper, None, inplace)
        slope = transforms.eval_slope(x.dtype, lower, upper)
        return private.leaky_relu_(x, slope) if inplace else private.leaky_relu(x, slope)
    if x.element_size() == 2:
        # Noise is the slope rounded here, by which the gradient is made, and y is not.
        if inplace:
            return _over_product(x, *_run(x, lower, upper, None, "noise"))
        y: Tensor = ops.rrelu(x, lower, upper, False)[0]
        return y
    if _has_small_reserve(x, None):
        return _with_reserve(x, lower, upper, None, inplace)
    return _by_noise(x, lower, upper, None, inplace)


def _without_gradient(x: Tensor, lower: float, upper: float, drawn: Draw | None, inplace: bool) -> Tensor:
    if not inplace:
        return _run(x, lower, upper, drawn)[0]
    if not _is_writable(x):
        return x.copy_(_run(x, lower, upper, drawn)[0])
    _run(x, lower, upper, drawn, inplace=True)
    torch.autograd.graph.increment_version(x)
    return x


def _by_noise(x: Tensor, lower: float, upper: float, drawn: Draw | None, inplace: bool) -> Tensor:
    noise = _run(x, lower, upper, drawn, "noise")[1]
    assert noise is not None
    return x.mul_(noise) if inplace else x * noise


def _over_product(x: Tensor, y: Tensor, noise: Tensor | None) -> Tensor:
    """y, written into x, with the gradient of x * noise: that of a copy is a sum, in which -0 is lost."""
    assert noise is not None
    x.mul_(noise)
    with torch.no_grad():
        return x.copy_(y)


def _with_reserve(x: Tensor, lower: float, upper: float, drawn: Draw | None, inplace: bool) -> Tensor:
    if not inplace or private.may_be_written(x):
        y: Tensor = _FromReserve.apply(x, lower, upper, drawn, inplace)  # type: ignore[no-untyped-call]
        return y
    return x.copy_(_FromReserve.apply(x, lower, upper, drawn, False))  # type: ignore[no-untyped-call]


def _run(
    x: Tensor,
    lower: float,
    upper: float,
    drawn: Draw | None,
    keep: Kept | None = None,
    *,
    inplace: bool = False,
) -> tuple[Tensor, Tensor | None]:
    """The kernel; a profiler sees it under the operator's name."""
    if not private.is_profiled():
        return kernels.rrelu(x, lower, upper, drawn, keep, inplace=inplace)
    with record_function("ort_rrelu::rrelu"):
        return kernels.rrelu(x, lower, upper, drawn, keep, inplace=inplace)


def _is_writable(x: Tensor) -> bool:
    """May a kernel write into x? Where torch has more to say of it than a version, torch writes: copy_."""
    return x.is_contiguous() and not (private.is_view(x) or x.is_inference())


def _has_small_reserve(x: Tensor, drawn: Draw | None) -> bool:
    """Is the reserve what autograd should keep?"""
    size = x.numel()
    if size < RESERVE_FROM:
        return False
    rows = 0 if drawn is None else drawn.rows  # whose steps are in the reserve
    return not rows or 2 * library.reserve_bytes(size, rows) <= x.nbytes


class _FromReserve(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, lower: float, upper: float, drawn: Draw | None, inplace: bool) -> Tensor:
        writable = inplace and _is_writable(x)
        y, reserve = _run(x, lower, upper, drawn, "reserve", inplace=writable)
        ctx.save_for_backward(reserve)
        if not inplace:
            return y
        ctx.mark_dirty(x)
        return x if writable else x.copy_(y)

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        (reserve,) = ctx.saved_tensors
        return _gradient(dy, reserve), None, None, None, None


def _gradient(dy: Tensor, reserve: Tensor) -> Tensor:
    if private.is_plain_call(dy) and not (dy.requires_grad and torch.is_grad_enabled()):
        return kernels.gradient_of_reserve(dy, reserve)
    dx: Tensor
    if transforms.active():  # torch's own product has every rule
        ones = torch.ones(dy.shape, dtype=dy.dtype, device=dy.device)
        dx = dy * ops.rrelu_grad_from_reserve(ones, reserve)
    else:
        dx = ops.rrelu_grad_from_reserve(dy, reserve)
    return dx
