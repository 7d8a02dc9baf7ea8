"""torch's own samples and checks of nn.functional.rrelu (OpInfo), with our module in its place."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.autograd import gradcheck, gradgradcheck
from torch.func import functionalize
from torch.testing._internal.common_methods_invocations import op_db
from torch.testing._internal.opinfo.core import SampleInput

from ort_rrelu.torch import RReLU
from tests.torch.arrays import ROUNDING, TORCH_DTYPES

INFO = next(info for info in op_db if info.name == "nn.functional.rrelu")
_DTYPES = tuple(TORCH_DTYPES.values())
_LARGEST_GRADCHECK = 1000  # elements


@dataclass(frozen=True)
class Activation:
    """A function as OpInfo has it: the same slopes at each call."""

    make: Callable[..., nn.Module]
    inplace: bool = False

    def __call__(
        self, x: Tensor, lower: float = 1 / 8, upper: float = 1 / 3, training: bool = False
    ) -> Tensor:
        torch.manual_seed(42)
        y: Tensor = self.make(lower, upper, self.inplace).train(training)(x)
        return y

    def on(self, sample: SampleInput) -> Callable[[Tensor], Tensor]:
        """The function with the sample's arguments."""
        return lambda x: self(x, **sample.kwargs)


def _seeded(lower: float, upper: float, inplace: bool) -> RReLU:
    return RReLU(lower, upper, inplace, seed=5)


OURS = {"unseeded": Activation(RReLU), "seeded": Activation(_seeded)}


def samples(*, every: bool) -> Iterator[Any]:
    """OpInfo's samples, or its larger set with all sizes, strides and extremal values; of four dtypes."""
    make = INFO.reference_inputs if every else INFO.sample_inputs
    for dtype in _DTYPES:
        torch.manual_seed(0)
        for i, sample in enumerate(make("cpu", dtype, requires_grad=True)):  # type: ignore[no-untyped-call]
            name = f"{str(dtype).removeprefix('torch.')}-{i}-{tuple(sample.input.shape)}"
            yield pytest.param(sample, id=name.replace(" ", ""))


def _forward(f: Activation, sample: SampleInput) -> None:
    x = sample.input.detach()
    y = f.on(sample)(x)
    assert (y.dtype, y.shape, y.stride()) == (x.dtype, x.shape, nn.functional.leaky_relu(x).stride())
    torch.testing.assert_close(y[x > 0], x[x > 0], equal_nan=True)
    lower, upper = (
        sample.kwargs.get(name, default) for name, default in (("lower", 1 / 8), ("upper", 1 / 3))
    )
    scaled, of = y[x <= 0].double(), x[x <= 0].double()
    rounding = of.abs() * ROUNDING[x.dtype] + torch.finfo(x.dtype).smallest_normal
    finite = of.isfinite()
    assert ((scaled <= of * lower + rounding) & (scaled >= of * upper - rounding))[finite].all()
    if not sample.kwargs.get("training", False):
        torch.testing.assert_close(
            y, nn.functional.rrelu(x, lower, upper), rtol=ROUNDING[x.dtype], atol=0, equal_nan=True
        )


def _in_place(f: Activation, sample: SampleInput) -> None:
    """The variant in place has values, gradients and its own memory."""
    dy, results = torch.ones_like(sample.input), []
    for function in (f, replace(f, inplace=True)):
        x = sample.input.detach().requires_grad_()
        written = x.clone()
        y = function.on(sample)(written)
        assert (y is written) == function.inplace
        results.append((y, torch.autograd.grad(y, x, dy)[0]))
    _same(*results)


def _same(first: Any, second: Any) -> None:
    torch.testing.assert_close(first, second, rtol=0, atol=0, equal_nan=True)


def _double(sample: SampleInput) -> Tensor | None:
    """The sample's input for checks of gradients; None where they tell nothing or take too long."""
    x = sample.input.detach()
    numeric = x.dtype == torch.double and x.numel() <= _LARGEST_GRADCHECK and bool(x.isfinite().all())
    # At 0 a difference has no side.
    return torch.where(x.abs() < 1e-3, 0.1, x).clamp(-1e3, 1e3).requires_grad_() if numeric else None


def _gradient(f: Activation, sample: SampleInput) -> None:
    if (x := _double(sample)) is None:
        return
    assert gradcheck(
        f.on(sample),
        x,
        fast_mode=_fast(x),
        check_batched_grad=True,
        check_forward_ad=True,
        check_batched_forward_grad=True,
        check_grad_dtypes=True,
        check_undefined_grad=True,
    )


def _fast(x: Tensor) -> bool:
    """Does gradcheck compare projections, and not whole Jacobians?"""
    return x.numel() > 50


def _second_gradient(f: Activation, sample: SampleInput) -> None:
    if (x := _double(sample)) is None:
        return
    assert gradgradcheck(
        f.on(sample), x, fast_mode=_fast(x), check_batched_grad=True, check_fwd_over_rev=True
    )


def _gradient_in_place(f: Activation, sample: SampleInput) -> None:
    if (x := _double(sample)) is None:
        return
    function = replace(f, inplace=True).on(sample)
    assert gradcheck(
        lambda t: function(t.clone()),
        x,
        fast_mode=_fast(x),
        check_batched_grad=True,
        check_forward_ad=True,
        check_batched_forward_grad=True,
    )


def _strides(f: Activation, sample: SampleInput) -> None:
    """The same values and gradients whatever the strides."""
    results = []
    for like in (sample, sample.noncontiguous()):  # type: ignore[no-untyped-call]
        x = like.input.detach().requires_grad_()
        y = f.on(like)(x)
        results.append((y, torch.autograd.grad(y, x, torch.ones_like(y))[0]))
    _same(*results)


def _memory_formats(f: Activation, sample: SampleInput) -> None:
    x = sample.input.detach()
    kinds = {4: (torch.contiguous_format, torch.channels_last), 5: (torch.channels_last_3d,)}
    for format_ in kinds.get(x.ndim, ()):
        laid = x.contiguous(memory_format=format_)
        y = f.on(sample)(laid)
        assert y.stride() == nn.functional.leaky_relu(laid).stride()
        _same(y.contiguous(), f.on(sample)(x.contiguous()))


def _negated(f: Activation, sample: SampleInput) -> None:
    """A view that is negated when it is read."""
    x = sample.input.detach()
    view = torch._neg_view(x)
    _same(f.on(sample)(view), f.on(sample)(-x))


def _lazy(f: Activation, sample: SampleInput) -> None:
    x = torch._lazy_clone(sample.input.detach()).requires_grad_()
    y = f.on(sample)(x)
    dy = torch._lazy_clone(torch.ones_like(y))
    torch.autograd.grad(y, x, dy)
    is_lazy = torch._C._is_cow_tensor  # type: ignore[attr-defined]
    assert not x.numel() or not x.is_contiguous() or (is_lazy(x) and is_lazy(dy))


def _functionalized(f: Activation, sample: SampleInput) -> None:
    x = sample.input.detach()
    for function in (f, replace(f, inplace=True)):
        call = function.on(sample)
        _same(functionalize(lambda t, call=call: call(t.clone()))(x), f.on(sample)(x))


def _fake(f: Activation, sample: SampleInput) -> None:
    """Shapes are known without values."""
    x = sample.input.detach()
    with torch._subclasses.FakeTensorMode() as mode:
        fake = f.on(sample)(mode.from_tensor(x))
    real = f.on(sample)(x)
    assert (fake.dtype, fake.shape, fake.stride()) == (real.dtype, real.shape, real.stride())


def _compiled(f: Activation, sample: SampleInput) -> None:
    torch._dynamo.reset()
    results = []
    module = f.make(*(sample.kwargs.get(n, d) for n, d in (("lower", 0.125), ("upper", 0.25))), False)
    module.train(sample.kwargs.get("training", False))
    for call in (module, torch.compile(module, backend="aot_eager", fullgraph=True)):
        torch.manual_seed(42)
        getattr(module, "reset_parameters", lambda: None)()
        x = sample.input.detach().requires_grad_()
        y = call(x)
        results.append((y, torch.autograd.grad(y, x, torch.ones_like(y))[0]))
    _same(*results)


def _vmapped(f: Activation, sample: SampleInput) -> None:
    """The three kinds of randomness, of each dimension: refused, shared, and apart."""
    x, call = sample.input.detach(), f.on(sample)
    for dim in range(x.ndim):
        if not x.shape[dim]:
            continue
        moved = x.movedim(dim, 0)
        whole, alone = call(moved), [call(each) for each in moved[:9]]
        if not sample.kwargs.get("training", False):
            for randomness in ("error", "same", "different"):
                _same(torch.vmap(call, dim, randomness=randomness)(x), whole)
            continue
        with pytest.raises(RuntimeError, match="randomness error mode"):
            torch.vmap(call, dim)(x)
        _same(torch.vmap(call, dim, randomness="different")(x), whole)
        _same(torch.vmap(call, dim, randomness="same")(x)[:9], torch.stack(alone))


def _refused(f: Activation, sample: SampleInput) -> None:
    for error in INFO.error_inputs("cpu"):  # type: ignore[no-untyped-call]
        with pytest.raises((error.error_type, ValueError)):
            f.on(error.sample_input)(error.sample_input.input)


Check = Callable[[Activation, SampleInput], None]
CHECKS: dict[str, Check] = {
    "forward": _forward,
    "in place": _in_place,
    "gradient": _gradient,
    "second gradient": _second_gradient,
    "gradient in place": _gradient_in_place,
    "strides": _strides,
    "memory formats": _memory_formats,
    "negated view": _negated,
    "lazy clone": _lazy,
    "functionalize": _functionalized,
    "fake tensors": _fake,
    "compile": _compiled,
    "vmap": _vmapped,
    "refused": _refused,
}
