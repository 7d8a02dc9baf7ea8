"""torch.vmap of RReLU: the three kinds of randomness, as torch.nn.functional.dropout has them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import ort_rrelu
from ort_rrelu import reference
from ort_rrelu.torch import RReLU
from tests.bits import assert_same_bits
from tests.onnx_models import Array
from tests.torch.arrays import TORCH_DTYPES, array, normal

every_seed = pytest.mark.parametrize("seed", [None, 5], ids=["unseeded", "seeded"])
every_dtype = pytest.mark.parametrize("dtype", TORCH_DTYPES.values(), ids=str)

Function = Callable[[Tensor], Tensor]

_X = normal(4, 3, 5)


def _drawn(x: Tensor, step: int = 0) -> Array:
    y: Array = reference.rrelu(array(x), training=True, seed=5, step=step)
    return y


def _raw(module: RReLU) -> Function:
    """The op itself, whatever calls it."""

    def call(x: Tensor) -> Tensor:
        step = None if module.seed is None else torch.tensor(0)
        arguments = (x, module.lower, module.upper, module.training, module.seed, step)
        y: Tensor = torch.ops.ort_rrelu.rrelu(*arguments)[0]
        return y

    return call


both_ways = pytest.mark.parametrize("way", [lambda module: module, _raw], ids=["module", "op"])


@every_dtype
@both_ways
@pytest.mark.parametrize("dim", [0, 1, -1])
def test_different_is_the_call_on_the_samples_as_one_tensor(
    dim: int, way: Callable[[RReLU], Function], dtype: torch.dtype
) -> None:
    x = _X.to(dtype)
    y = torch.vmap(way(RReLU(seed=5)), in_dims=dim, out_dims=dim, randomness="different")(x)
    assert_same_bits(array(y.movedim(dim, 0)), _drawn(x.movedim(dim, 0)))


@every_dtype
@both_ways
@pytest.mark.parametrize("dim", [0, 1, -1])
def test_same_is_the_call_on_each_sample(
    dim: int, way: Callable[[RReLU], Function], dtype: torch.dtype
) -> None:
    x = _X.to(dtype)
    y = torch.vmap(way(RReLU(seed=5)), in_dims=dim, randomness="same")(x)
    for actual, sample in zip(y, x.movedim(dim, 0), strict=True):
        assert_same_bits(array(actual), _drawn(sample))


@every_seed
@pytest.mark.parametrize("name", ["RReLU", "dropout"])
@pytest.mark.parametrize("mapped", [True, False], ids=["mapped", "not mapped"])
@pytest.mark.parametrize("randomness", ["error", "same", "different"])
def test_randomness_is_that_of_dropout(randomness: str, mapped: bool, name: str, seed: int | None) -> None:
    activation = RReLU(seed=seed) if name == "RReLU" else nn.Dropout()
    x = -torch.ones(4, 100)

    def call(sample: Tensor) -> Tensor:
        y: Tensor = activation(sample if mapped else x[0])
        return y

    vmapped = torch.vmap(call, randomness=randomness)
    if randomness == "error":
        with pytest.raises(RuntimeError, match="random operation while in randomness error mode"):
            vmapped(x)
        return
    y = vmapped(x)
    assert len({tuple(row) for row in array(y).tolist()}) == (4 if randomness == "different" else 1)
    assert not torch.equal(vmapped(x), y)


@every_seed
@pytest.mark.parametrize("randomness", ["error", "same", "different"])
@pytest.mark.parametrize("mapped", [True, False], ids=["mapped", "not mapped"])
def test_eval_mode_is_not_random(mapped: bool, randomness: str, seed: int | None) -> None:
    module = RReLU(seed=seed).eval()
    x = _X.half()
    y = torch.vmap(lambda sample: module(sample if mapped else x[1]), randomness=randomness)(x)
    assert_same_bits(array(y), array(module(x if mapped else x[1].expand_as(x))))


@pytest.mark.parametrize("outer", ["same", "different"])
@pytest.mark.parametrize("inner", ["same", "different"])
def test_nested(inner: str, outer: str) -> None:
    x = -normal(2, 3, 7).abs()
    y = torch.vmap(torch.vmap(RReLU(seed=5), randomness=inner), randomness=outer)(x)
    drawn = x if outer == "different" else x[0]
    if inner == "same":
        drawn = drawn[..., 0, :]
    noise = reference.rrelu(array(drawn), training=True, seed=5, return_noise=True)[1]
    places: tuple[Any, ...] = (slice(None) if outer == "different" else None, ...)
    if inner == "same":
        places = (slice(None) if outer == "different" else None, None, slice(None))
    assert_same_bits(array(y), array(x) * noise[places])


def test_nested_refuses_as_soon_as_one_level_does() -> None:
    module = RReLU(seed=5)
    for inner, outer in (("error", "different"), ("different", "error")):
        with pytest.raises(ort_rrelu.Error, match="randomness error mode"):
            torch.vmap(torch.vmap(module, randomness=inner), randomness=outer)(_X)


@pytest.mark.parametrize("randomness", ["error", "same", "different"])
def test_steps_of_its_own_for_each_sample(randomness: str) -> None:
    module, steps = RReLU(seed=5), torch.tensor([3, 0, 3, -1])
    y = torch.vmap(lambda x, step: module(x, step=step), randomness=randomness)(_X, steps)
    for actual, sample, step in zip(y, _X, steps, strict=True):
        assert_same_bits(array(actual), _drawn(sample, int(step)))


@pytest.mark.parametrize(
    ("randomness", "each"), [("same", lambda x: x[0]), ("different", lambda x: x)], ids=["same", "different"]
)
def test_step_of_the_whole_call(randomness: str, each: Function) -> None:
    module, x = RReLU(seed=5), -torch.ones(4, 5)
    y = torch.vmap(lambda sample: module(sample, step=9), randomness=randomness)(x)
    assert_same_bits(array(y), _drawn(each(x), 9) + array(torch.zeros_like(x)))


@pytest.mark.parametrize("randomness", ["same", "different"])
def test_call_takes_one_step(randomness: str) -> None:
    module = RReLU(seed=5)
    for _ in range(2):
        torch.vmap(module, randomness=randomness)(_X)
    assert_same_bits(array(module(_X)), _drawn(_X, 2))


def test_refused_call_takes_no_step() -> None:
    module = RReLU(seed=5)
    with pytest.raises(ort_rrelu.Error, match=r"give torch\.vmap randomness='different'"):
        torch.vmap(module)(_X)
    assert_same_bits(array(module(_X)), _drawn(_X))


@every_seed
def test_gradients_of_each_sample_have_noise_of_their_own(seed: int | None) -> None:
    call = RReLU(seed=seed)

    def loss(x: Tensor) -> tuple[Tensor, Tensor]:
        y = call(x)
        return y.sum(), y

    x = -torch.ones(4, 6)
    gradients, ys = torch.vmap(torch.func.grad(loss, has_aux=True), randomness="different")(x)
    assert_same_bits(array(ys), array(-gradients))
    assert len({tuple(row) for row in gradients.tolist()}) == 4
    if seed is not None:
        assert_same_bits(array(ys), _drawn(x))


def test_gradients_of_weights_of_each_sample() -> None:
    torch.manual_seed(0)
    rrelu = RReLU(seed=5)
    net = nn.Sequential(nn.Linear(5, 4), rrelu, nn.Linear(4, 1))
    weights: dict[str, Tensor] = dict(net.named_parameters())
    x = normal(3, 5)

    def loss(parameters: dict[str, Tensor], sample: Tensor) -> Tensor:
        y: Tensor = torch.func.functional_call(net, parameters, (sample,))
        return y.sum()

    each = torch.vmap(torch.func.grad(loss), in_dims=(None, 0), randomness="different")(weights, x)
    rrelu.reset_parameters()
    whole = torch.autograd.grad(net(x).sum(), list(net.parameters()))
    for name, gradient in zip(weights, whole, strict=True):
        torch.testing.assert_close(each[name].sum(0), gradient)


def test_batched_gradients() -> None:
    x = _X.clone().requires_grad_()
    y = RReLU(seed=5)(x)
    vjp = torch.vmap(lambda dy: torch.autograd.grad(y, x, dy, retain_graph=True)[0])
    dy = normal(2, *_X.shape)
    noise = reference.rrelu(array(_X), training=True, seed=5, return_noise=True)[1]
    assert_same_bits(array(vjp(dy)), array(dy) * noise)


@every_seed
@pytest.mark.parametrize("randomness", ["same", "different"])
def test_no_samples(randomness: str, seed: int | None) -> None:
    module = RReLU(seed=seed)
    y = torch.vmap(torch.func.vmap(module, randomness=randomness), randomness="same")(_X[:, :, :0])
    assert y.shape == (4, 3, 0)


def test_counters_of_several_models_cannot_be_mapped_over() -> None:
    models = [nn.Sequential(RReLU(seed=i)) for i in range(3)]
    parameters, buffers = torch.func.stack_module_state(models)

    def call(parameters: Any, buffers: Any, x: Tensor) -> Tensor:
        y: Tensor = torch.func.functional_call(models[0], (parameters, buffers), (x,))
        return y

    vmapped = torch.vmap(call, in_dims=(0, 0, None), randomness="different")
    with pytest.raises(ort_rrelu.Error, match="stack_module_state"):
        vmapped(parameters, buffers, _X)
    models[0].eval()
    assert vmapped(parameters, buffers, _X).shape == (3, *_X.shape)
