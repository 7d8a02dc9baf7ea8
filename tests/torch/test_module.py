"""ort_rrelu.torch.RReLU against torch.nn.RReLU and the reference."""

from __future__ import annotations

import copy
import math
import pickle
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch._subclasses import FakeTensorMode

import ort_rrelu
from ort_rrelu import reference
from ort_rrelu.torch import RReLU
from tests.bits import assert_same_bits
from tests.onnx_models import Array
from tests.torch.arrays import ROUNDING, TORCH_DTYPES, array, normal, tensor

every_dtype = pytest.mark.parametrize("dtype", TORCH_DTYPES.values(), ids=str)

_LAYOUTS: dict[str, Callable[[Tensor], Tensor]] = {
    "contiguous": lambda x: x,
    "channels_last": lambda x: x.contiguous(memory_format=torch.channels_last),
    "transposed": lambda x: x.transpose(1, 3),
    "at an offset": lambda x: x[1:],
    "sliced": lambda x: x[:, 1:, ::2],
    "flipped and sliced": lambda x: x.flip(3)[..., 1:],
    "expanded": lambda x: x[:, :1].expand(-1, 5, -1, -1),
    "size 1": lambda x: x[:1, :, :1].transpose(0, 2),
    "odd stride of size 1": lambda x: x[:, :1].contiguous().as_strided((2, 1, 3, 5), (15, 77, 5, 1)),
    "0-d": lambda x: -x[0, 0, 0, 0].abs(),
    "empty": lambda x: x[:, :0],
}
every_layout = pytest.mark.parametrize("layout", _LAYOUTS.values(), ids=_LAYOUTS)


def _images(dtype: torch.dtype = torch.float32) -> Tensor:
    return normal(2, 4, 3, 5, dtype=dtype)


def _drawn(x: Tensor, *, seed: int = 3, step: int = 0) -> tuple[Array, Array]:
    y, noise = reference.rrelu(array(x), training=True, seed=seed, step=step, return_noise=True)
    return y, noise


@every_dtype
@every_layout
def test_train_mode_equals_the_reference(layout: Callable[[Tensor], Tensor], dtype: torch.dtype) -> None:
    module, x = RReLU(seed=3), layout(_images(dtype))
    for step in range(3):
        assert_same_bits(array(module(x)), _drawn(x, step=step)[0])


@every_dtype
@every_layout
@pytest.mark.parametrize("bounds", [(1 / 8, 1 / 3), (-0.3, 2.0)], ids=str)
def test_eval_mode_equals_torch(
    layout: Callable[[Tensor], Tensor], dtype: torch.dtype, bounds: tuple[float, float]
) -> None:
    x = layout(_images(dtype))
    actual, expected = (module(*bounds).eval()(x) for module in (RReLU, nn.RReLU))
    torch.testing.assert_close(actual, expected, rtol=ROUNDING[dtype], atol=0)


@every_dtype
@every_layout
@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
def test_gradient_is_dy_times_noise(
    layout: Callable[[Tensor], Tensor], dtype: torch.dtype, training: bool
) -> None:
    x = layout(_images(dtype)).detach().requires_grad_()
    y = RReLU(seed=3).train(training)(x)
    dy = normal(*x.shape, dtype=dtype)
    y.backward(dy)
    noise = reference.rrelu(array(x), training=training, seed=3, return_noise=True)[1]
    assert x.grad is not None
    assert_same_bits(array(x.grad), reference.rrelu_grad(array(dy), noise))


@every_layout
@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
def test_memory_format_is_kept_as_by_any_activation(
    layout: Callable[[Tensor], Tensor], training: bool
) -> None:
    x = layout(_images())
    module, expected = RReLU().train(training), nn.LeakyReLU()(x).stride()
    assert module(x).stride() == expected
    with FakeTensorMode() as mode:
        assert module(mode.from_tensor(x)).stride() == expected


@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
def test_gradients_of_first_and_second_order(training: bool) -> None:
    module = RReLU(seed=3).train(training)
    x = normal(5, 3, dtype=torch.double).requires_grad_()
    assert torch.autograd.gradcheck(lambda t: module(t, step=2), x)
    assert torch.autograd.gradgradcheck(lambda t: module(t, step=2), x)


@pytest.mark.parametrize(
    "layout", [_LAYOUTS[name] for name in ("contiguous", "channels_last", "transposed", "0-d", "empty")]
)
def test_inplace_writes_into_its_input(layout: Callable[[Tensor], Tensor]) -> None:
    x = layout(_images())
    expected = _drawn(x)[0]
    y = RReLU(inplace=True, seed=3)(x)
    assert y is x
    assert_same_bits(array(x), expected)


def test_inplace_has_the_same_gradient() -> None:
    gradients = []
    for inplace in (False, True):
        x = _images().requires_grad_()
        RReLU(inplace=inplace, seed=3)(x * 2).sin().sum().backward()
        assert x.grad is not None
        gradients.append(array(x.grad))
    assert_same_bits(*gradients)


@pytest.mark.parametrize("make", [nn.RReLU, RReLU])
def test_inplace_on_a_leaf_that_requires_grad_is_refused_as_torch_does(
    make: Callable[..., nn.Module],
) -> None:
    with pytest.raises(RuntimeError, match="a leaf Variable that requires grad"):
        make(inplace=True)(_images().requires_grad_())


def test_the_generator_of_torch_governs_an_unseeded_module() -> None:
    def draw(seed: int) -> list[Array]:
        torch.manual_seed(seed)
        module = RReLU()
        return [array(module(_images())) for _ in range(2)]

    first, again, other = draw(1), draw(1), draw(2)
    for one, same in zip(first, again, strict=True):
        assert_same_bits(one, same)
    assert all((a != b).any() for a, b in [(first[0], first[1]), (first[0], other[0])])


def test_named_step_leaves_the_counter_alone() -> None:
    module, x = RReLU(seed=3), _images()
    for step in (-1, 2**62, -(2**63), torch.tensor(7), torch.tensor([[8]])):
        assert_same_bits(array(module(x, step=step)), _drawn(x, step=int(step))[0])
    assert_same_bits(array(module(x)), _drawn(x)[0])


def test_eval_calls_are_not_counted() -> None:
    module, x = RReLU(seed=3), _images()
    module.eval()(x)
    assert_same_bits(array(module.train()(x)), _drawn(x)[0])


_REFUSED: dict[str, tuple[Callable[[], object], str]] = {
    "lower above upper": (lambda: RReLU(0.5, 0.2), "lower=0.5"),
    "upper not finite": (lambda: RReLU(0.1, math.inf), "upper=inf"),
    "lower NaN": (lambda: RReLU(math.nan, 1.0), "lower=nan"),
    "upper not a number": (lambda: RReLU(0.1, "0.2"), "upper='0.2'"),  # type: ignore[arg-type]
    "negative seed": (lambda: RReLU(seed=-1), "seed=-1"),
    "seed of 64 bits": (lambda: RReLU(seed=2**63), f"seed={2**63}"),
    "seed not an integer": (lambda: RReLU(seed=1.5), "seed=1.5"),  # type: ignore[arg-type]
    "integers": (lambda: RReLU()(torch.arange(3)), "torch.int64"),
    "bounds too wide for float16": (lambda: RReLU(0, 1e5)(_images(torch.float16)), "upper=100000"),
    "step without a seed": (lambda: RReLU()(_images(), step=3), "step=3"),
    "step of three elements": (
        lambda: RReLU(seed=3)(_images(), step=torch.tensor([1, 2, 3])),
        r"shape \[3\]",
    ),
    "int32 step": (lambda: RReLU(seed=3)(_images(), step=torch.tensor(1, dtype=torch.int32)), "torch.int32"),
    "noise of another shape": (lambda: torch.ops.ort_rrelu.rrelu_grad(_images(), _images()[0]), "noise"),
    "noise of another dtype": (
        lambda: torch.ops.ort_rrelu.rrelu_grad(_images(), _images(torch.double)),
        "torch.float64",
    ),
}


@pytest.mark.parametrize(("call", "message"), _REFUSED.values(), ids=_REFUSED)
def test_refused(call: Callable[[], object], message: str) -> None:
    with pytest.raises(ort_rrelu.Error, match=message) as caught:
        call()
    assert isinstance(caught.value, ValueError | TypeError)


@pytest.mark.parametrize("seed", [None, 3])
def test_state_dict_is_that_of_torch(seed: int | None) -> None:
    ours, theirs = (nn.Sequential(nn.Linear(2, 2), rrelu) for rrelu in (RReLU(seed=seed), nn.RReLU()))
    assert RReLU(seed=seed).state_dict() == {}
    theirs.load_state_dict(ours.state_dict(), strict=True)
    ours.load_state_dict(theirs.state_dict(), strict=True)


def test_repr_is_that_of_torch_with_the_seed() -> None:
    assert repr(RReLU(0.1, 0.2, inplace=True)) == repr(nn.RReLU(0.1, 0.2, inplace=True))
    assert repr(RReLU(0.1, 0.2, seed=3)) == "RReLU(lower=0.1, upper=0.2, seed=3)"


def test_isinstance_of_torch() -> None:
    assert isinstance(RReLU(), nn.RReLU)


@pytest.mark.parametrize(
    "copied", [copy.deepcopy, lambda module: pickle.loads(pickle.dumps(module))], ids=["deepcopy", "pickle"]
)
def test_copy_counts_on_by_itself(copied: Callable[[RReLU], RReLU]) -> None:
    module, x = RReLU(seed=3), _images()
    module(x)
    twin = copied(module)
    for step in (1, 2):
        assert_same_bits(array(twin(x)), _drawn(x, step=step)[0])
    assert_same_bits(array(module(x)), _drawn(x, step=1)[0])


def test_half_keeps_the_counter() -> None:
    module = RReLU(seed=3)
    module(_images())
    x = _images(torch.float16)
    assert_same_bits(array(module.half()(x)), _drawn(x, step=1)[0])


def test_subnormals_are_honoured_where_torch_flushes_them() -> None:
    x = np.array([-1e-40, 1e-40, -3e-45, 3e-45], np.float32)
    expected = reference.rrelu(x, training=True, seed=3)
    assert torch.set_flush_denormal(True)
    try:
        y = array(RReLU(seed=3)(tensor(x))).copy()
    finally:
        torch.set_flush_denormal(False)
    assert_same_bits(y, expected)


_OPS: dict[str, tuple[str, Callable[[], tuple[object, ...]]]] = {
    "train, seeded": ("rrelu", lambda: (_images().requires_grad_(), 0.1, 0.2, True, 3, torch.tensor(2))),
    "train, seeded, no step": ("rrelu", lambda: (_images().requires_grad_(), 0.1, 0.2, True, 3)),
    "eval": ("rrelu", lambda: (_images().requires_grad_(), 0.1, 0.2, False)),
    "eval, expanded": ("rrelu", lambda: (_LAYOUTS["expanded"](_images()), 0.1, 0.2, False)),
    "eval, channels_last": ("rrelu", lambda: (_LAYOUTS["channels_last"](_images()), 0.1, 0.2, False)),
    "gradient": ("rrelu_grad", lambda: (_images().requires_grad_(), _images())),
    "gradient, transposed": ("rrelu_grad", lambda: (_images().mT.requires_grad_(), _images().mT)),
}


@pytest.mark.parametrize(("name", "arguments"), _OPS.values(), ids=_OPS)
def test_opcheck_of_torch(name: str, arguments: Callable[[], tuple[object, ...]]) -> None:
    op = getattr(torch.ops.ort_rrelu, name).default
    results = torch.library.opcheck(op, arguments())
    assert set(results.values()) == {"SUCCESS"}
