"""ort_rrelu.paddle.RReLU against paddle.nn.RReLU and the reference."""

from __future__ import annotations

import copy
import math
import subprocess
import sys
from collections.abc import Callable

import numpy as np
import paddle
import pytest
from paddle import Tensor, nn
from paddle.distributed.fleet.utils import recompute

from ort_rrelu import reference
from ort_rrelu.paddle import RReLU, ops
from tests.bits import assert_same_bits
from tests.onnx_models import Array
from tests.paddle.paddle_layers import PADDLE_DTYPES, array, in_mode, normal

every_dtype = pytest.mark.parametrize("dtype", PADDLE_DTYPES.values(), ids=str)
# Paddle's own rrelu has no bfloat16 on the CPU.
every_dtype_of_paddle = pytest.mark.parametrize(
    "dtype", [paddle.float32, paddle.float64, paddle.float16], ids=str
)
both_modes = pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])


@pytest.fixture(params=[False, True], ids=["noise", "reserve"])
def kept(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ways to keep a draw, whatever the size."""
    monkeypatch.setattr(ops, "RESERVE_FROM", 1 if request.param else 2**62)


# How far, relatively, eval mode may be from Paddle's: one rounding; in double the one of the float32 bounds.
_ROUNDING = {paddle.float32: 2.0**-23, paddle.float64: 1e-7, paddle.float16: 2.0**-10}

_LAYOUTS: dict[str, Callable[[Tensor], Tensor]] = {
    "contiguous": lambda x: x,
    "transposed": lambda x: x.transpose([0, 3, 2, 1]),
    "sliced": lambda x: x[:, 1:, ::2],
    "offset": lambda x: x.flatten()[1:],
    "expanded": lambda x: x[:, :1].expand([-1, 5, -1, -1]),
    "0-d": lambda x: x[0, 0, 0, 3],
    "empty": lambda x: x[:, :0],
}
every_layout = pytest.mark.parametrize("layout", _LAYOUTS.values(), ids=_LAYOUTS)


def _images(dtype: paddle.dtype = paddle.float32) -> Tensor:
    """With zeros of both signs, where Paddle's gradient is not torch's."""
    x = normal(2, 4, 3, 5)
    x[0, 0, 0, :2], x[1, 1, 1, :2] = 0.0, -0.0
    return x.astype(dtype)


def _drawn(x: Tensor, *, seed: int = 3, step: int = 0) -> Array:
    return reference.rrelu(array(x), training=True, seed=seed, step=step)


def _leaf(x: Tensor) -> Tensor:
    leaf = x.detach()
    leaf.stop_gradient = False
    return leaf


def _gradient(layer: Callable[[Tensor], Tensor], x: Tensor, dy: Tensor | None = None) -> Array:
    leaf = _leaf(x)
    layer(leaf).backward(dy)
    assert leaf.grad is not None
    return array(leaf.grad)


@every_dtype
@every_layout
@pytest.mark.parametrize("differentiated", [True, False])
def test_train_mode_equals_the_reference(
    layout: Callable[[Tensor], Tensor], dtype: paddle.dtype, differentiated: bool
) -> None:
    layer, x = RReLU(seed=3), layout(_images(dtype))
    x.stop_gradient = not differentiated
    for step in range(3):
        y = layer(x)
        assert_same_bits(array(y), _drawn(x, step=step))
        assert y.stop_gradient != differentiated


@every_dtype_of_paddle
@every_layout
@pytest.mark.parametrize("bounds", [(1 / 8, 1 / 3), (0.0, 1.0), (0.5, 0.5)], ids=str)
def test_eval_mode_equals_paddle(
    layout: Callable[[Tensor], Tensor], dtype: paddle.dtype, bounds: tuple[float, float]
) -> None:
    x = layout(_images(dtype))
    actual, expected = (array(in_mode(kind(*bounds), False)(x)) for kind in (RReLU, nn.RReLU))
    np.testing.assert_allclose(actual, expected, rtol=_ROUNDING[dtype], atol=0)
    assert actual.dtype == expected.dtype


@pytest.mark.usefixtures("kept")
@every_dtype
@every_layout
@both_modes
def test_gradient_is_dy_times_noise_but_paddles_at_zero(
    layout: Callable[[Tensor], Tensor], dtype: paddle.dtype, training: bool
) -> None:
    x = layout(_images(dtype))
    dy = normal(*x.shape, dtype=dtype)
    dx = _gradient(in_mode(RReLU(seed=3), training), x, dy)
    values = array(x)
    noise = reference.rrelu(values, training=training, seed=3, return_noise=True)[1]
    noise[values == 0] = 1
    assert_same_bits(dx, reference.rrelu_grad(array(dy), noise))


@pytest.mark.parametrize("dtype", [paddle.float32, paddle.float64], ids=str)  # its gradient has no float16
def test_eval_gradient_equals_paddle(dtype: paddle.dtype) -> None:
    actual, expected = (_gradient(in_mode(kind(), False), _images(dtype)) for kind in (RReLU, nn.RReLU))
    np.testing.assert_allclose(actual, expected, rtol=_ROUNDING[dtype], atol=0)


@pytest.mark.usefixtures("kept")
def test_gradient_at_zero_is_that_of_paddle_in_train_mode() -> None:
    for kind in (RReLU, nn.RReLU):
        assert _gradient(kind(), paddle.to_tensor([0.0, -0.0, 1e-40, 2.0])).tolist() == [1, 1, 1, 1]


@pytest.mark.usefixtures("kept")
@both_modes
def test_gradients_of_second_order(training: bool) -> None:
    x, dy = _leaf(_images(paddle.float64)), _leaf(normal(2, 4, 3, 5, dtype=paddle.float64))
    y = in_mode(RReLU(seed=3), training)(x)
    (dx,) = paddle.grad(y, x, dy, create_graph=True)
    (ddy,) = paddle.grad((dx**3).sum(), dy)
    noise = array(dx) / array(dy)
    np.testing.assert_allclose(array(ddy), 3 * array(dx) ** 2 * noise, rtol=1e-12)


def test_no_gradient_is_kept_under_no_grad() -> None:
    with paddle.no_grad():
        y = RReLU(seed=3)(_leaf(_images()))
    assert y.stop_gradient


def test_construction_leaves_the_generator_of_paddle_alone() -> None:
    paddle.seed(1)
    expected = array(paddle.randn([4]))
    paddle.seed(1)
    RReLU()
    assert_same_bits(array(paddle.randn([4])), expected)


def test_a_frozen_input_in_a_chain() -> None:
    first, second = RReLU(seed=3), RReLU(seed=4)
    weight = _leaf(normal(5))
    x = _images()
    second(first(x) * weight).sum().backward()
    assert weight.grad is not None
    assert x.grad is None


def test_the_generator_of_paddle_governs_an_unseeded_layer() -> None:
    def draw(seed: int) -> list[Array]:
        paddle.seed(seed)
        layer = RReLU()
        return [array(layer(_images())) for _ in range(2)]

    first, again, other = draw(1), draw(1), draw(2)
    for one, same in zip(first, again, strict=True):
        assert_same_bits(one, same)
    assert all((a != b).any() for a, b in [(first[0], first[1]), (first[0], other[0])])


def test_named_step_leaves_the_counter_alone() -> None:
    layer, x = RReLU(seed=3), _images()
    for step in (-1, 2**62, -(2**63)):
        assert_same_bits(array(layer(x, step=step)), _drawn(x, step=step))
        assert_same_bits(array(layer(x, step=paddle.to_tensor([[step]]))), _drawn(x, step=step))
    assert_same_bits(array(layer(x)), _drawn(x))


@every_dtype
@every_layout
@pytest.mark.parametrize("differentiated", [True, False])
def test_a_step_for_each_row(
    layout: Callable[[Tensor], Tensor], dtype: paddle.dtype, differentiated: bool
) -> None:
    layer, x = RReLU(seed=3), layout(_images(dtype))
    x.stop_gradient = not differentiated
    rows = x.shape[0] if x.ndim else 1
    steps = np.resize(np.array([5, -1, 2**62], np.int64), rows)
    y = array(layer(x, step=paddle.to_tensor(steps)))
    values = array(x)
    if not x.ndim:
        assert_same_bits(y, reference.rrelu(values, training=True, seed=3, step=5))
        return
    assert_same_bits(y, reference.rrelu(values, training=True, seed=3, step=steps))
    for n in range(rows):
        alone = reference.rrelu(values[n : n + 1], training=True, seed=3, step=int(steps[n]))
        assert_same_bits(y[n : n + 1], alone)
    assert_same_bits(array(layer(x)), _drawn(x))  # the counter has stayed


def test_gradient_of_a_step_for_each_row() -> None:
    x, dy, steps = _images(), normal(2, 4, 3, 5), np.array([5, -1])
    dx = _gradient(lambda leaf: RReLU(seed=3)(leaf, step=paddle.to_tensor(steps)), x, dy)
    values = array(x)
    noise = reference.rrelu(values, training=True, seed=3, step=steps, return_noise=True)[1]
    noise[values == 0] = 1
    assert_same_bits(dx, reference.rrelu_grad(array(dy), noise))


@pytest.mark.parametrize("use_reentrant", [True, False], ids=["reentrant", "non-reentrant"])
def test_a_step_for_each_row_is_that_of_the_recomputation(use_reentrant: bool) -> None:
    layer, steps = RReLU(seed=3), paddle.to_tensor([5, -1])

    def recomputed(leaf: Tensor) -> Tensor:
        y: Tensor = recompute(lambda x: layer(x, step=steps), leaf, use_reentrant=use_reentrant)
        return y

    assert_same_bits(
        _gradient(recomputed, _images()), _gradient(lambda leaf: layer(leaf, step=steps), _images())
    )


def test_eval_calls_are_not_counted() -> None:
    layer, x = RReLU(seed=3), _images()
    in_mode(layer, False)(x)
    assert_same_bits(array(in_mode(layer, True)(x)), _drawn(x))


@pytest.mark.parametrize(
    ("lower", "upper"),
    [(-0.1, 0.2), (1.5, 2.0), (0.1, 1.2), (0.5, 0.2), (0, 0.2), (math.nan, 0.2)],
    ids=str,
)
def test_bounds_are_refused_in_the_words_of_paddle(lower: float, upper: float) -> None:
    with pytest.raises((ValueError, TypeError)) as theirs:
        nn.functional.rrelu(paddle.zeros([2]), lower, upper)
    with pytest.raises(type(theirs.value)) as ours:
        RReLU(lower, upper)
    assert str(ours.value).splitlines()[-1] == str(theirs.value).splitlines()[-1]


_REFUSED: dict[str, tuple[Callable[[], object], str]] = {
    "upper NaN": (lambda: RReLU(0.1, math.nan), "upper"),
    "negative seed": (lambda: RReLU(seed=-1), "seed=-1"),
    "seed of 64 bits": (lambda: RReLU(seed=2**63), f"seed={2**63}"),
    "seed not an integer": (lambda: RReLU(seed=1.5), "seed=1.5"),  # type: ignore[arg-type]
    "integers": (lambda: RReLU()(paddle.arange(3)), "paddle.int64"),
    "an array": (lambda: RReLU()(np.zeros(3, np.float32)), "ndarray"),
    "sparse": (lambda: RReLU()(paddle.eye(3).to_sparse_coo(2)), "sparse"),
    "step without a seed": (lambda: RReLU()(_images(), step=3), "step=3"),
    "step beyond int64": (lambda: RReLU(seed=3)(_images(), step=2**63), f"step={2**63}"),
    "step of three elements": (
        lambda: RReLU(seed=3)(_images(), step=paddle.to_tensor([1, 2, 3])),
        r"step has shape \[3\]: for x of shape \[2, 4, 3, 5\] it must have one element, or shape \[2\], one",
    ),
    "column of steps": (
        lambda: RReLU(seed=3)(_images(), step=paddle.to_tensor([[1], [2]])),
        r"step has shape \[2, 1\]",
    ),
    "steps of a scalar": (
        lambda: RReLU(seed=3)(_images()[0, 0, 0, 3], step=paddle.to_tensor([1, 2])),
        r"for x of shape \[\] it must have one element$",
    ),
    "steps without a seed": (lambda: RReLU()(_images(), step=paddle.to_tensor([1, 2])), "only a layer with"),
    "int32 step": (lambda: RReLU(seed=3)(_images(), step=paddle.to_tensor(1, dtype="int32")), "int32"),
}


@pytest.mark.parametrize(("call", "message"), _REFUSED.values(), ids=_REFUSED)
def test_refused(call: Callable[[], object], message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        call()


@pytest.mark.parametrize("seed", [None, 3])
def test_state_dict_is_that_of_paddle(seed: int | None) -> None:
    ours, theirs = (nn.Sequential(nn.Linear(2, 2), rrelu) for rrelu in (RReLU(seed=seed), nn.RReLU()))
    assert RReLU(seed=seed).state_dict() == {}
    assert ours.state_dict().keys() == theirs.state_dict().keys()
    assert theirs.set_state_dict(ours.state_dict()) == ([], [])
    assert ours.set_state_dict(theirs.state_dict()) == ([], [])


def test_repr_is_that_of_paddle_with_the_seed() -> None:
    assert repr(RReLU(0.1, 0.2, "r")) == repr(nn.RReLU(0.1, 0.2, "r"))
    assert "seed=3" in repr(RReLU(seed=3))


def test_isinstance_of_paddle() -> None:
    assert isinstance(RReLU(), nn.RReLU)


def test_copy_counts_on_by_itself() -> None:
    layer, x = RReLU(seed=3), _images()
    layer(x)
    twin = copy.deepcopy(layer)
    for step in (1, 2):
        assert_same_bits(array(twin(x)), _drawn(x, step=step))
    assert_same_bits(array(layer(x)), _drawn(x, step=1))


def test_half_keeps_the_counter() -> None:
    network = nn.Sequential(nn.Identity(), RReLU(seed=3))
    (step := network[1].step).fill_(2**53 + 1)
    x = _images(paddle.float16)
    assert_same_bits(array(network.to(dtype="float16")(x)), _drawn(x, step=2**53 + 1))
    assert step.dtype == paddle.int64


def test_first_import_under_the_old_ir() -> None:
    code = (
        "import paddle, ort_rrelu\n"
        "with paddle.pir_utils.OldIrGuard(): ort_rrelu.paddle\n"
        "print(ort_rrelu.paddle.RReLU(0.25, 0.25)(paddle.to_tensor([-1.0])).item())"
    )
    printed = subprocess.check_output([sys.executable, "-c", code], text=True)
    assert printed.split()[-1] == "-0.25"
