"""Plain eager calls: what autograd keeps, what is written in place, and who still sees the operator."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

import ort_rrelu
from ort_rrelu import library, reference
from ort_rrelu.torch import RReLU, eager
from tests.bits import assert_same_bits
from tests.torch.arrays import TORCH_DTYPES, array, normal, tensor

every_dtype = pytest.mark.parametrize("dtype", TORCH_DTYPES.values(), ids=str)
both_modes = pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
_AROUND = [0, 1, 7, 1000, eager.RESERVE_FROM - 1, eager.RESERVE_FROM, eager.RESERVE_FROM + 9, 100_003]


@pytest.fixture(params=[False, True], ids=["noise", "reserve"])
def kept(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ways to keep a draw, whatever the size."""
    monkeypatch.setattr(eager, "RESERVE_FROM", 0 if request.param else 2**62)


def _saved_bytes(call: Callable[[], Tensor]) -> int:
    """Bytes of what autograd keeps of a call."""
    saved: list[int] = []

    def pack(each: Tensor) -> Tensor:
        saved.append(each.nbytes)
        return each

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda each: each):
        call()
    return sum(saved)


@given(
    size=st.one_of(st.sampled_from(_AROUND), st.integers(0, 200_000)),
    dtype=st.sampled_from(list(TORCH_DTYPES.values())),
    seed=st.sampled_from([None, 3]),
    inplace=st.booleans(),
)
@settings(max_examples=60)
def test_one_bit_an_element_is_kept_from_a_size_on(
    size: int, dtype: torch.dtype, seed: int | None, inplace: bool
) -> None:
    x = normal(size, dtype=dtype).requires_grad_()
    written = x.clone()
    saved = _saved_bytes(lambda: RReLU(inplace=inplace, seed=seed)(written))
    large = size >= eager.RESERVE_FROM
    assert saved == (library.reserve_bytes(size) if large else size * dtype.itemsize)


@pytest.mark.parametrize(("rows", "keeps_reserve"), [(2, True), (1000, True), (100_000, False)])
def test_steps_of_rows_are_kept_where_they_are_fewer_bytes_than_noise(rows: int, keeps_reserve: bool) -> None:
    x = normal(rows, 100_000 // rows).requires_grad_()
    steps = torch.arange(rows)
    saved = _saved_bytes(lambda: RReLU(seed=3)(x, step=steps))
    assert saved == (library.reserve_bytes(x.numel(), rows) if keeps_reserve else x.nbytes)


_LAYOUTS: dict[str, Callable[[Tensor], Tensor]] = {
    "contiguous": lambda x: x,
    "channels_last": lambda x: x.contiguous(memory_format=torch.channels_last),
    "sliced": lambda x: x[:, 1:, ::2],
    "expanded": lambda x: x[:, :1].expand(-1, 3, -1, -1),
    "0-d": lambda x: x[0, 0, 0, 0],
    "empty": lambda x: x[:, :0],
}


@every_dtype
@both_modes
@pytest.mark.usefixtures("kept")
@pytest.mark.parametrize("inplace", [False, True])
@pytest.mark.parametrize("layout", _LAYOUTS.values(), ids=_LAYOUTS)
def test_values_gradients_and_strides_are_the_same_however_they_are_kept(
    layout: Callable[[Tensor], Tensor], inplace: bool, training: bool, dtype: torch.dtype
) -> None:
    leaf = layout(normal(2, 4, 3, 5, dtype=dtype)).clone().requires_grad_()
    x = leaf * 1
    y = RReLU(-0.3, 2.0, inplace, seed=3).train(training)(x)
    assert (y is x) == inplace
    assert y.stride() == nn.functional.leaky_relu(leaf).stride()
    expected, noise = reference.rrelu(array(leaf), -0.3, 2.0, training=training, seed=3, return_noise=True)
    assert_same_bits(array(y), expected)
    dy = normal(*y.shape, dtype=dtype)
    torch.autograd.backward(y, dy)
    assert leaf.grad is not None
    assert_same_bits(array(leaf.grad), reference.rrelu_grad(array(dy), noise))


@both_modes
@pytest.mark.usefixtures("kept")
def test_derivatives_of_every_kind(training: bool) -> None:
    module = RReLU(seed=3).train(training)
    x = normal(5, 3, dtype=torch.double).requires_grad_()
    for function in (lambda t: module(t, step=2), lambda t: RReLU(inplace=True, seed=3)(t * 1)):
        assert torch.autograd.gradcheck(
            function, x, check_batched_grad=True, check_forward_ad=True, check_batched_forward_grad=True
        )
        assert torch.autograd.gradgradcheck(function, x, check_batched_grad=True, check_fwd_over_rev=True)


@pytest.mark.usefixtures("kept")
def test_gradient_of_an_expanded_dy_and_of_a_second_use() -> None:
    x = normal(40, 50).requires_grad_()
    y = RReLU(seed=3)(x)
    first, second = (torch.autograd.grad(y.sum(), x, retain_graph=True)[0] for _ in range(2))
    noise = reference.rrelu(array(x), training=True, seed=3, return_noise=True)[1]
    assert_same_bits(array(first), noise)
    assert_same_bits(array(second), noise)


@given(
    values=st.lists(st.floats(width=16), max_size=50),
    dtype=st.sampled_from(list(TORCH_DTYPES.values())),
    bounds=st.tuples(*[st.floats(-3, 3, width=32)] * 2),
    inplace=st.booleans(),
)
def test_eval_mode_has_the_bits_of_the_kernel(
    values: list[float], dtype: torch.dtype, bounds: tuple[float, float], inplace: bool
) -> None:
    x = torch.tensor(values, dtype=torch.float64).to(dtype)
    lower, upper = sorted(bounds)
    expected = reference.rrelu(array(x.clone()), lower, upper, training=False)
    assert_same_bits(array(RReLU(lower, upper, inplace).eval()(x.clone())), expected)


@both_modes
@pytest.mark.parametrize("requires_grad", [False, True])
def test_subnormals_are_honoured_where_torch_flushes_them(requires_grad: bool, training: bool) -> None:
    x = np.array([-1e-40, 1e-40, -3e-45, 3e-45], np.float32)
    expected = reference.rrelu(x, training=training, seed=3)
    held = tensor(x).requires_grad_(requires_grad)
    assert torch.set_flush_denormal(True)
    try:
        y = array(RReLU(seed=3).train(training)(held)).copy()
    finally:
        torch.set_flush_denormal(False)
    assert_same_bits(y, expected)


def _written(module: nn.Module, x: Tensor) -> None:
    with torch.no_grad():
        assert module(x) is x


@both_modes
@pytest.mark.parametrize("size", [10, 100_000])
def test_what_is_written_in_place_is_a_new_version(size: int, training: bool) -> None:
    x, module = normal(size), RReLU(inplace=True).train(training)
    held, kept = x.clone(), (x.requires_grad_() * 1).exp()
    version, address = held._version, held.data_ptr()
    _written(module, held)
    assert (held._version, held.data_ptr()) == (version + 1, address)
    module(kept)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        torch.autograd.backward(kept.sum())


@both_modes
def test_a_lazy_clone_that_is_written_to_leaves_the_other_alone(training: bool) -> None:
    x = normal(100)
    before, clone = array(x).copy(), torch._lazy_clone(x)
    _written(RReLU(inplace=True).train(training), clone)
    assert_same_bits(array(x), before)
    assert not torch.equal(clone, x)


@pytest.mark.usefixtures("kept")
@both_modes
def test_views_are_written_in_place_and_their_base_has_the_gradient(training: bool) -> None:
    leaf = normal(4, 6).requires_grad_()
    base = leaf * 1
    RReLU(inplace=True, seed=3).train(training)(base[1:3])
    torch.autograd.backward(base.sum())
    noise = reference.rrelu(array(leaf)[1:3], training=training, seed=3, return_noise=True)[1]
    expected = np.ones((4, 6), np.float32)
    expected[1:3] = noise
    assert leaf.grad is not None
    assert_same_bits(array(leaf.grad), expected)


@pytest.mark.usefixtures("kept")
@pytest.mark.parametrize(
    "view", [lambda x: x[:2], lambda x: x.view(-1), lambda x: x], ids=["rows", "flat", "leaf"]
)
def test_a_leaf_in_place_is_refused_and_not_written(view: Callable[[Tensor], Tensor]) -> None:
    for make in (RReLU, nn.RReLU):
        x = normal(4, 6).requires_grad_()
        before = array(x).copy()
        with pytest.raises(RuntimeError, match="a leaf Variable that requires grad"):
            make(inplace=True)(view(x))
        assert_same_bits(array(x), before)


@pytest.mark.usefixtures("kept")
@every_dtype
@both_modes
@pytest.mark.parametrize(
    "view", [lambda x: x, lambda x: x[1:3], lambda x: x.t()], ids=["whole", "rows", "transposed"]
)
def test_the_gradient_in_place_keeps_the_sign_of_zero(
    view: Callable[[Tensor], Tensor], training: bool, dtype: torch.dtype
) -> None:
    """A copy into x would add its own zeros to the gradient, and -0 would be +0."""
    x = view(normal(4, 6, dtype=dtype)).contiguous()
    gradients = []
    for inplace in (False, True):
        leaf = torch.zeros(4, 6, dtype=dtype, requires_grad=True)
        base = leaf * 1
        with torch.no_grad():
            view(base).copy_(x)
        y = RReLU(inplace=inplace, seed=3).train(training)(view(base))
        torch.autograd.backward(y, torch.full_like(y, -0.0))
        assert leaf.grad is not None
        gradients.append(array(view(leaf.grad)))
    assert np.signbit(gradients[0]).all()
    assert_same_bits(gradients[1], gradients[0])


@pytest.mark.usefixtures("kept")
def test_a_view_that_torch_refuses_is_not_written() -> None:
    for make in (RReLU, nn.RReLU):
        base = normal(4, 6).requires_grad_() * 1
        before = array(base.detach()).copy()
        with pytest.raises(RuntimeError, match="is a view and is being modified inplace"):
            make(inplace=True)(base.unbind(0)[0])
        assert_same_bits(array(base.detach()), before)


def test_inference_mode() -> None:
    with torch.inference_mode():
        x = normal(50)
        expected = reference.rrelu(array(x), training=True, seed=3)
        assert_same_bits(array(RReLU(seed=3)(x)), expected)
        assert_same_bits(array(RReLU(seed=3, inplace=True)(x)), expected)


class _Seen(TorchDispatchMode):  # type: ignore[no-untyped-call]
    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.names: list[str] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        self.names.append(func.name())
        return func(*args, **(kwargs or {}))


@both_modes
@pytest.mark.parametrize("requires_grad", [False, True])
def test_who_watches_sees_the_operator(requires_grad: bool, training: bool) -> None:
    module, x = RReLU(seed=3).train(training), normal(10).requires_grad_(requires_grad)
    with _Seen() as seen:
        module(x)
    assert "ort_rrelu::rrelu" in seen.names
    with torch.autograd.profiler.profile() as profile:
        module(x)
    name = "ort_rrelu::rrelu" if training or requires_grad else "aten::leaky_relu"
    assert name in {event.name for event in profile.function_events}
    graph = torch.jit.trace(module, x, check_trace=False).graph  # type: ignore[no-untyped-call]
    assert graph.findNode("ort_rrelu::rrelu") is not None


_LARGE = normal(1000, 100)
_REFUSED: dict[str, tuple[Callable[[], object], str]] = {
    "step of another type": (
        lambda: RReLU(seed=3)(_LARGE, step=torch.tensor(1.5)),
        r"step has dtype torch\.float32",
    ),
    "step without a value": (
        lambda: RReLU(seed=3)(_LARGE, step=torch.tensor(1, device="meta")),
        "step is on device meta",
    ),
    "no tensor": (lambda: RReLU()([1.0]), "x is of type list"),
    "None": (lambda: RReLU().eval()(None), "x is of type NoneType"),
    "reserve of another type": (
        lambda: torch.ops.ort_rrelu.rrelu_grad_from_reserve(_LARGE, _LARGE[0]),
        r"reserve has dtype torch\.float32",
    ),
    "reserve of another size": (
        lambda: torch.ops.ort_rrelu.rrelu_grad_from_reserve(_LARGE, torch.zeros(9, dtype=torch.uint8)),
        "reserve has 9 bytes",
    ),
}


@pytest.mark.parametrize(("call", "message"), _REFUSED.values(), ids=_REFUSED)
def test_refused(call: Callable[[], object], message: str) -> None:
    with pytest.raises(ort_rrelu.Error, match=message):
        call()


@pytest.mark.parametrize("layout", [lambda x: x, lambda x: x.mT], ids=["contiguous", "transposed"])
def test_opcheck_of_the_gradient_from_a_reserve(layout: Callable[[Tensor], Tensor]) -> None:
    dy = layout(normal(6, 5))
    reserve = reference.rrelu(array(dy), training=True, seed=3, return_reserve=True)[1]
    arguments = dy.requires_grad_(), torch.from_numpy(reserve)
    results = torch.library.opcheck(torch.ops.ort_rrelu.rrelu_grad_from_reserve.default, arguments)
    assert set(results.values()) == {"SUCCESS"}


def test_steps_that_are_lazily_negated_are_read_as_their_numbers() -> None:
    x, steps = -torch.ones(4, 3), torch.arange(4)
    negated = RReLU(seed=3)(x, step=torch._neg_view(steps))
    assert torch.equal(negated, RReLU(seed=3)(x, step=-steps))
