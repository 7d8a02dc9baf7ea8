"""The torch.library ops in the namespace ort_rrelu: what traces, exports and compiled code hold.

rrelu(x, lower, upper, training, seed, step) -> (y, noise)
    seed None: key and step come from torch's generator, so that torch.manual_seed governs them.
    seed given: step is the number of the draw, one int64, or an int64 of shape [x.shape[0]], one for each row
    of x; None means 0.
rrelu_grad(dy, noise) -> dx
rrelu_grad_from_reserve(dy, reserve) -> dx
    the same from one bit an element, and what the draw was.
next_step(counter) -> step
    reads the counter and advances it in place, on its device.
check_forward(counter) -> ()
    in compiled code: is the forward whose steps it takes its own?

They are defined with torch.library.Library: a torch.library.custom_op takes tens of microseconds a call.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch._ops import OpOverload

from ort_rrelu import schema
from ort_rrelu.errors import InvalidValueError
from ort_rrelu.torch import accepted, kernels, steps

_NAMESPACE = schema.DOMAIN
_RANDOM = torch.Tag.nondeterministic_seeded

LIBRARY = torch.library.Library(_NAMESPACE, "FRAGMENT")  # type: ignore[no-untyped-call]


def _define(
    signature: str, kernel: Callable[..., Any], fake: Callable[..., Any], *tags: torch.Tag
) -> OpOverload:
    """An op that `kernel` runs on every device; `fake` tells what it returns where nothing has values."""
    name = LIBRARY.define(signature, tags=(torch.Tag.pt2_compliant_tag, *tags))  # type: ignore[no-untyped-call]
    LIBRARY.impl(name, kernel, "CompositeExplicitAutograd")  # type: ignore[no-untyped-call]
    torch.library.register_fake(f"{_NAMESPACE}::{name}", fake, lib=LIBRARY)
    op: OpOverload = getattr(getattr(torch.ops, _NAMESPACE), name).default
    return op


def _rrelu(
    x: Tensor, lower: float, upper: float, training: bool, seed: int | None = None, step: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    kernels.dtype_number(x.dtype)
    kernels.check_device(x)
    if step is not None and (step.numel() != 1 or step.dtype != torch.int64):
        kernels.check_step(x.shape, step.dtype, step.shape)
    y, noise = kernels.rrelu(x, lower, upper, kernels.draw(x, seed, step) if training else None, "noise")
    assert noise is not None
    return y, noise


def _fake_rrelu(
    x: Tensor, lower: float, upper: float, training: bool, seed: int | None = None, step: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    kernels.dtype_number(x.dtype)
    # Symbolic sizes are left to the run: asked here, they would become guards.
    if step is not None and all(type(size) is int for size in (*step.shape, *x.shape[:1])):
        kernels.check_step(x.shape, step.dtype, step.shape)
    return _fake(x), _fake(x)


def _fake(x: Tensor) -> Tensor:
    if x.is_contiguous():
        return torch.empty_like(x, memory_format=torch.contiguous_format)
    return torch.empty_like(x)


def _next_step(counter: Tensor, remember: bool = True) -> Tensor:
    step = steps.take(counter, remember)
    # Not the one that is remembered: what an op returns may be written to.
    return step.clone() if isinstance(step, Tensor) else torch.scalar_tensor(step, dtype=torch.int64)


def _check_forward(counter: Tensor) -> None:
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


rrelu = _define(
    "rrelu(Tensor x, float lower, float upper, bool training, int? seed=None, Tensor? step=None)"
    " -> (Tensor, Tensor)",
    _rrelu,
    _fake_rrelu,
    _RANDOM,
)
rrelu_grad = _define(
    "rrelu_grad(Tensor dy, Tensor noise) -> Tensor", kernels.gradient, lambda dy, noise: _fake(dy)
)
rrelu_grad_from_reserve = _define(
    "rrelu_grad_from_reserve(Tensor dy, Tensor reserve) -> Tensor",
    kernels.gradient_of_reserve,
    lambda dy, _reserve: _fake(dy),
)
next_step = _define(
    "next_step(Tensor(a!) counter, bool remember=True) -> Tensor",
    _next_step,
    lambda counter, _remember=True: torch.empty_like(counter),
    _RANDOM,
)
check_forward = _define("check_forward(Tensor(a!) counter) -> ()", _check_forward, lambda _counter: None)


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    ctx.save_for_backward(output[1])
    ctx.mark_non_differentiable(output[1])


def _backward(ctx: Any, dy: Tensor, _dnoise: Tensor) -> tuple[Tensor | None, ...]:
    (noise,) = ctx.saved_tensors
    return rrelu_grad(dy, noise), None, None, None, None, None


def _save_factor(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
    ctx.save_for_backward(inputs[1])


def _again(gradient: OpOverload) -> Callable[..., tuple[Tensor, None]]:
    """The gradient of a gradient, which is linear in dy: the same op."""

    def backward(ctx: Any, ddx: Tensor) -> tuple[Tensor, None]:
        (factor,) = ctx.saved_tensors
        return gradient(ddx, factor), None

    return backward


torch.library.register_autograd(f"{_NAMESPACE}::rrelu", _backward, setup_context=_save, lib=LIBRARY)
for _name, _op in (("rrelu_grad", rrelu_grad), ("rrelu_grad_from_reserve", rrelu_grad_from_reserve)):
    torch.library.register_autograd(
        f"{_NAMESPACE}::{_name}", _again(_op), setup_context=_save_factor, lib=LIBRARY
    )
