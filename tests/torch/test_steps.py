"""RReLU(x, step=): a step for each row of x, in every way in which torch calls a module."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch._dynamo.testing
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.autograd import forward_ad

import ort_rrelu
from ort_rrelu import reference
from ort_rrelu.graph.nodes import our_nodes
from ort_rrelu.torch import RReLU
from tests.bits import assert_same_bits
from tests.onnx_models import Array, run, session
from tests.strategies import arrays
from tests.torch.arrays import array, normal, tensor
from tests.torch.exports import both_exporters, export_quietly, node_attributes

_int64 = functools.partial(st.integers, -(2**63), 2**63 - 1)


def _drawn(x: Tensor, steps: Any, *, seed: int = 5) -> Array:
    y: Array = reference.rrelu(array(x), training=True, seed=seed, step=np.asarray(steps))
    return y


@given(x=arrays().filter(lambda x: x.ndim), data=st.data())
def test_a_row_alone_is_the_row_among_others(x: Array, data: st.DataObject) -> None:
    few = data.draw(st.sampled_from([_int64(), st.integers(-1, 1)]))
    steps = torch.tensor(data.draw(st.lists(few, min_size=len(x), max_size=len(x))), dtype=torch.int64)
    module, whole = RReLU(seed=5), tensor(x).requires_grad_()
    y = module(whole, step=steps)
    assert_same_bits(array(y), _drawn(whole, steps))
    (dx,) = torch.autograd.grad(y.sum(), whole)
    for row in range(len(x)):
        alone = tensor(x[row : row + 1]).requires_grad_()
        for step in (steps[row : row + 1], int(steps[row])):
            again = module(alone, step=step)
            assert_same_bits(array(again), array(y[row : row + 1]))
        (dx_alone,) = torch.autograd.grad(again.sum(), alone)
        assert_same_bits(array(dx_alone), array(dx[row : row + 1]))


_LAYOUTS: dict[str, Callable[[Tensor], Tensor]] = {
    "channels_last": lambda x: x.contiguous(memory_format=torch.channels_last),
    "transposed": lambda x: x.transpose(0, 3),
    "sliced": lambda x: x[:, 1:, ::2],
    "expanded": lambda x: x[:1].expand(7, -1, -1, -1),
}


@pytest.mark.parametrize("layout", _LAYOUTS.values(), ids=_LAYOUTS)
def test_rows_are_those_of_the_first_dimension(layout: Callable[[Tensor], Tensor]) -> None:
    x = layout(normal(5, 4, 3, 6))
    steps = torch.arange(2 * len(x))[::2].flip(0)  # strided, too
    expected = _drawn(x, steps)
    y = RReLU(seed=5)(x, step=steps)
    assert_same_bits(array(y), expected)
    assert y.stride() == nn.LeakyReLU()(x).stride()
    written = x.clone()
    assert RReLU(inplace=True, seed=5)(written, step=steps) is written
    assert_same_bits(array(written), expected)


def test_gradients_of_both_orders_and_in_forward_mode() -> None:
    module, steps = RReLU(seed=5), torch.tensor([3, 0, 3, -1, 9])
    x = normal(5, 3, dtype=torch.double).requires_grad_()
    assert torch.autograd.gradcheck(lambda t: module(t, step=steps), x, check_forward_ad=True)
    assert torch.autograd.gradgradcheck(lambda t: module(t, step=steps), x)
    with forward_ad.dual_level():
        dual = forward_ad.make_dual(x.detach(), torch.ones_like(x))  # type: ignore[no-untyped-call]
        assert_same_bits(array(module(dual, step=steps)), _drawn(x, steps))


@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
def test_opcheck_of_torch(training: bool) -> None:
    arguments = (normal(4, 6).requires_grad_(), 0.1, 0.2, training, 3, torch.tensor([2, 2, -7, 5]))
    results = torch.library.opcheck(torch.ops.ort_rrelu.rrelu.default, arguments)
    assert set(results.values()) == {"SUCCESS"}


_REFUSED: dict[str, tuple[tuple[int, ...], tuple[int, ...], str]] = {
    "a column": ((4, 10), (4, 1), "one element, or shape [4], one for each row"),
    "a divisor": ((4, 10), (2,), "one element, or shape [4], one for each row"),
    "another size": ((4, 10), (10,), "one element, or shape [4], one for each row"),
    "none": ((4, 10), (0,), "one element, or shape [4], one for each row"),
    "of no rows": ((0, 10), (3,), "one element, or shape [0], one for each row"),
    "of a scalar": ((), (2,), "one element"),
}


def _fake(module: RReLU, x: Tensor, step: Tensor) -> None:
    with torch._subclasses.FakeTensorMode() as mode:
        module(mode.from_tensor(x), step=mode.from_tensor(step))


_CALLS: dict[str, Callable[[RReLU, Tensor, Tensor], Any]] = {
    "eager": lambda module, x, step: module(x, step=step),
    "fake": _fake,
    "jvp": lambda module, x, step: torch.func.jvp(lambda t: module(t, step=step), (x,), (x,)),
    "vmap": lambda module, x, step: torch.vmap(lambda t: module(t, step=step))(torch.stack([x] * 3)),
    "vmap of steps": lambda module, x, step: torch.vmap(lambda t: module(x, step=t))(torch.stack([step] * 3)),
}


@pytest.mark.parametrize("call", _CALLS.values(), ids=_CALLS)
@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize(("shape", "step", "allowed"), _REFUSED.values(), ids=_REFUSED)
def test_other_shapes_are_refused(
    shape: tuple[int, ...],
    step: tuple[int, ...],
    allowed: str,
    training: bool,
    call: Callable[[RReLU, Tensor, Tensor], Any],
) -> None:
    steps = torch.zeros(step, dtype=torch.int64)
    with pytest.raises(ort_rrelu.Error) as caught:
        call(RReLU(seed=5).train(training), torch.ones(shape), steps)
    beginning = f"step has dtype torch.int64 and shape {list(step)}: it must be int64, and for x of shape"
    assert str(caught.value) == f"{beginning} {list(shape)} it must have {allowed}"


@pytest.mark.parametrize("randomness", ["error", "same", "different"])
@pytest.mark.parametrize("dim", [0, 1, -1])
def test_vmap_over_steps_of_rows(dim: int, randomness: str) -> None:
    module, x, steps = RReLU(seed=5), normal(6, 4, 3), torch.arange(24).reshape(6, 4) % 7

    def call(sample: Tensor, step: Tensor) -> Tensor:
        y: Tensor = module(sample, step=step)
        return y

    mapped = torch.vmap(call, (dim, dim), randomness=randomness)
    y = mapped(x.movedim(0, dim), steps.movedim(0, dim))
    for actual, sample, step in zip(y, x, steps, strict=True):
        assert_same_bits(array(actual), _drawn(sample, step))
    shared = torch.vmap(call, (dim, None), randomness=randomness)(x.movedim(0, dim), steps[0])
    repeated = torch.vmap(call, (None, 0), randomness=randomness)(x[0], steps)
    neither = torch.vmap(lambda _: call(x[0], steps[0]), randomness=randomness)(x)
    for i in range(6):
        assert_same_bits(array(shared[i]), _drawn(x[i], steps[0]))
        assert_same_bits(array(repeated[i]), _drawn(x[0], steps[i]))
        assert_same_bits(array(neither[i]), _drawn(x[0], steps[0]))


def test_nested_vmaps_over_steps() -> None:
    module, x, steps = RReLU(seed=5), normal(2, 3, 4, 5), torch.arange(24).reshape(2, 3, 4)
    each = torch.vmap(torch.vmap(lambda t, step: module(t, step=step)))
    rows, scalars = each(x, steps), each(x, steps[..., 0])
    for i, j in np.ndindex(2, 3):
        assert_same_bits(array(rows[i, j]), _drawn(x[i, j], steps[i, j]))
        assert_same_bits(array(scalars[i, j]), _drawn(x[i, j], steps[i, j, 0]))


@pytest.mark.parametrize("backend", ["aot_eager", "inductor"])
def test_any_number_of_rows_is_one_program(backend: str) -> None:
    torch._dynamo.reset()
    counter = torch._dynamo.testing.CompileCounterWithBackend(backend)
    compiled = torch.compile(RReLU(seed=5), backend=counter, fullgraph=True)
    for rows in (4, 7, 3, 64, 9, 128, 33):
        x, steps = normal(rows, 9).requires_grad_(), torch.arange(rows) * 3 - 7
        y = compiled(x, step=steps)
        assert_same_bits(array(y), _drawn(x, steps))
        (dx,) = torch.autograd.grad(y.sum(), x)
        torch.testing.assert_close(dx, y / x)
    assert counter.frame_count <= 2
    with pytest.raises(ort_rrelu.Error, match=r"shape \[5\]: .* or shape \[8\], one for each row"):
        compiled(normal(8, 9), step=torch.arange(5))


class _AtStep(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = RReLU(seed=3), RReLU(seed=4)

    def forward(self, x: Tensor, step: Tensor) -> Tensor:
        y: Tensor = self.second(self.first(x * 2, step=step) * 4, step=step)
        return y


_ROWS = torch.export.Dim("rows", min=2)


@pytest.mark.filterwarnings("ignore")
@both_exporters
@pytest.mark.parametrize("portable", [True, False])
def test_exported_steps_are_those_of_rows(dynamo: bool, portable: bool) -> None:
    module = _AtStep()
    x, steps = normal(5, 6), torch.arange(5) - 2
    shapes: dict[str, Any] = (
        {"dynamic_shapes": ({0: _ROWS}, {0: _ROWS})}
        if dynamo
        else {"dynamic_axes": {"x": {0: "rows"}, "step": {0: "rows"}}}
    )
    model = export_quietly(
        module, (x, steps), dynamo=dynamo, portable=portable, input_names=["x", "step"], **shapes
    )
    assert [node.input[1] for node in our_nodes(model)] == ["step"] * 2
    assert [node["seed"] for node in node_attributes(model)] == [3, 4]
    of = session(model)
    for rows in (5, 2, 9):
        x, steps = normal(rows, 6), torch.arange(rows) * 5 - 3
        assert_same_bits(run(of, array(x), array(steps))[0], array(module(x, steps)))


@pytest.mark.parametrize("strict", [True, False])
def test_exported_program_takes_any_number_of_rows(strict: bool) -> None:
    module = _AtStep()
    example = (normal(5, 6), torch.arange(5))
    program = torch.export.export(module, example, dynamic_shapes=({0: _ROWS}, {0: _ROWS}), strict=strict)
    for rows in (5, 2, 9):
        x, steps = normal(rows, 6), torch.arange(rows) * 5 - 3
        assert_same_bits(array(program.module()(x, steps)), array(module(x, steps)))
