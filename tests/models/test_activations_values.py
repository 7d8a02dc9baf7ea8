"""The sources' own numbers, and what holds for every activation."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from models.activations import build_activation
from models.activations.learnable_clip import LearnableClip
from models.activations.threshold import SATURATION, learn_threshold
from tests.models.activation_cases import CASES, TRAIN_CASES, activation_input, every_case, rewound
from tests.torch.arrays import normal

_X = torch.tensor([-11.0, -2.0, 0.0, 3.0])


def _maps(*rows: list[float]) -> Tensor:
    """One image with a row for each feature map."""
    return torch.tensor([rows])


@pytest.mark.parametrize(
    ("cfg", "x", "y"),
    [
        ({"type": "PReLU", "num_parameters": 3, "init": [0.5, 0, 0.25]}, _X.expand(1, 3, 4),
         _maps([-5.5, -1, 0, 3], [0, 0, 0, 3], [-2.75, -0.5, 0, 3])),
        ({"type": "PReLU"}, _X.expand(1, 3, 4), _maps(*[[-2.75, -0.5, 0, 3]] * 3)),
        ({"type": "PReLU", "init": 0.25}, _X, torch.tensor([-2.75, -0.5, 0, 3])),
        ({"type": "PaperRReLU"}, _X, torch.tensor([-2, -4 / 11, 0, 3])),
        ({"type": "PaperLeakyReLU", "a": 5.5}, _X, torch.tensor([-2, -4 / 11, 0, 3])),
        ({"type": "PaperLeakyReLU", "a": 100}, _X, torch.tensor([-0.11, -0.02, 0, 3])),
        ({"type": "LeakyReLU"}, _X, torch.tensor([-0.11, -0.02, 0, 3])),
        ({"type": "RReLU"}, _X, torch.tensor([-11 * 11 / 48, -2 * 11 / 48, 0, 3])),
        ({"type": "LearnableClip", "t1": 0, "t2": 5}, _X, torch.tensor([-11.0, -2, 5, 5])),
        ({"type": "MyReLU"}, _X, torch.tensor([0.0, 0, 0, 3])),
    ],
)  # fmt: skip
def test_numbers_of_the_sources(cfg: dict[str, Any], x: Tensor, y: Tensor) -> None:
    torch.testing.assert_close(build_activation(cfg).eval()(x), y)


@pytest.mark.parametrize("name", ["Softplus", "SoftplusFunction"])
def test_softplus_of_the_source(name: str) -> None:
    y = build_activation({"type": name})(torch.arange(-3.0, 3.0))
    expected = torch.tensor([0.0486, 0.1269, 0.3133, 0.6931, 1.3133, 2.1269])
    torch.testing.assert_close(y, expected, rtol=0, atol=5e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("beta", [1.0, 2.3])
@pytest.mark.parametrize("name", ["Softplus", "SoftplusFunction"])
def test_softplus_is_right_to_the_last_digits_everywhere(name: str, beta: float, dtype: torch.dtype) -> None:
    ends = -math.log(torch.finfo(dtype).tiny) / beta
    x = torch.linspace(-0.99 * ends, 4 * ends, 20_001, dtype=dtype)
    exact = [max(v, 0) + math.log1p(math.exp(-abs(beta * v))) / beta for v in x.tolist()]
    y = build_activation({"type": name, "beta": beta})(x)
    # Rounding beta * x is an error of beta * x ulps where y falls exponentially.
    rounding = torch.finfo(dtype).eps * (4 + (beta != 1) * ends * beta)
    torch.testing.assert_close(y.double(), torch.tensor(exact, dtype=torch.float64), rtol=rounding, atol=0)


@pytest.mark.parametrize("beta", [0.5, 2.0, 1000.0])
@pytest.mark.parametrize("name", ["Softplus", "SoftplusFunction"])
def test_softplus_of_the_largest_numbers(name: str, beta: float) -> None:
    x = torch.tensor([3e38, -3e38], requires_grad=True)
    y = build_activation({"type": name, "beta": beta})(x)
    torch.testing.assert_close(y, torch.tensor([3e38, 0.0]))
    y.sum().backward()
    torch.testing.assert_close(x.grad, torch.tensor([1.0, 0.0]))


@every_case
def test_limits(case: str) -> None:
    # The ends of the axis and NaN come out as the formula has them.
    y = rewound(case)(torch.tensor([[[math.inf, math.nan]] * 3])).squeeze()
    clip = isinstance(rewound(case), LearnableClip)
    assert (y[:, 0] == (0.5 if clip else math.inf)).all()
    assert (y[:, 1] == 0.5).all() if clip else y[:, 1].isnan().all()
    if "Softplus" in case:
        torch.testing.assert_close(rewound(case)(torch.tensor([-math.inf])), torch.zeros(1))


@every_case
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
def test_shape_and_dtype_stay_and_x_changes_in_place_only(
    case: str, dtype: torch.dtype, training: bool
) -> None:
    x = activation_input(dtype=dtype)
    before = x.clone()
    with torch.no_grad():
        y = rewound(case, training=training, dtype=dtype)(x)
    assert (y.shape, y.dtype) == (x.shape, dtype)
    if CASES[case].get("inplace"):
        assert y.data_ptr() == x.data_ptr()
    else:
        torch.testing.assert_close(x, before, rtol=0, atol=0)


@pytest.mark.parametrize("case", TRAIN_CASES)
def test_train_mode_draws_for_each_element_and_call(case: str) -> None:
    module = build_activation(CASES[case]).train()
    first, second = (module(torch.full((64,), -1.0)) for _ in range(2))
    assert (first != second).float().mean() > 0.9
    assert first.unique().numel() > 60


@pytest.mark.parametrize("seed", [None, 7])
def test_divisors_of_the_paper_are_uniform_and_slopes_are_not(seed: int | None) -> None:
    torch.manual_seed(0)
    slopes = build_activation({"type": "PaperRReLU", "seed": seed}).train()(-torch.ones(100_000)).neg()
    divisors = (1 / slopes.double()).sort().values
    uniform = torch.linspace(3, 8, len(divisors), dtype=torch.float64)
    assert (divisors - uniform).abs().max() < 0.04  # Kolmogorov and Smirnov: 2.5 / sqrt(n) of the span
    assert slopes.mean().item() == pytest.approx(math.log(8 / 3) / 5, abs=1e-3)
    assert (slopes < 0.5 * (1 / 3 + 1 / 8)).float().mean().item() == pytest.approx(
        (8 - 48 / 11) / 5, abs=0.01
    )


def test_seeded_draws_of_the_paper_repeat() -> None:
    one, other = (build_activation({"type": "PaperRReLU", "seed": 7}).train() for _ in range(2))
    x = normal(50)
    torch.testing.assert_close(one(x), other(x), rtol=0, atol=0)


def test_slopes_of_feature_maps_need_as_many_channels() -> None:
    for dtype in (torch.float32, torch.float64):
        module = rewound("PReLU of feature maps", dtype=dtype)
        for channels in (1, 2):
            with pytest.raises(RuntimeError, match=r"3|size"):
                module(torch.zeros(2, channels, 4, dtype=dtype))


def test_prelu_begins_again() -> None:
    module = build_activation(CASES["PReLU of feature maps"])
    assert isinstance(module, nn.PReLU)
    first = module.weight.detach().clone()
    nn.init.zeros_(module.weight)
    module.reset_parameters()
    torch.testing.assert_close(module.weight.detach(), first)


def test_threshold_moves_to_where_the_readings_saturate() -> None:
    clip = LearnableClip(t1=1, t2=1)
    history = learn_threshold(clip)
    assert history[0] == 1
    assert history[-1] == pytest.approx(SATURATION, abs=0.01)
    assert clip.t2.item() == history[-1]
    assert clip.t1.item() == 1
