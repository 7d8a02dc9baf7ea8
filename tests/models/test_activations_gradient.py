"""Gradients of the activations: against finite differences, in place, and by hand."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

from models.activations import build_activation
from models.activations.learnable_clip import LearnableClip
from tests.models.activation_cases import CASES, INPLACE_CASES, TRAIN_CASES, rewound
from tests.torch.arrays import normal

_MODES = [(case, False) for case in CASES] + [(case, True) for case in TRAIN_CASES]
in_every_mode = pytest.mark.parametrize(
    ("case", "training"), _MODES, ids=[f"{case}, {'train' if t else 'eval'}" for case, t in _MODES]
)
both_dtypes = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)


def _away_from_kinks(dtype: torch.dtype = torch.float64) -> Tensor:
    """(2, 3, 5), both signs, no value near 0 or near the clip's t1."""
    x = normal(2, 3, 5, dtype=dtype)
    near = ((x.abs() < 0.05) | ((x - 1).abs() < 0.05)).to(dtype)
    return x + 0.2 * near


@in_every_mode
def test_gradcheck(case: str, training: bool) -> None:
    module = rewound(case, training=training, dtype=torch.float64)
    learned = {name: p for name, p in module.named_parameters() if p.requires_grad}
    x = _away_from_kinks().requires_grad_()

    def function(x: Tensor, *values: Tensor) -> Tensor:
        # The clone is for what works in place: a leaf cannot be overwritten.
        parameters = dict(zip(learned, values, strict=True))
        y: Tensor = torch.func.functional_call(module, parameters, (x.clone(),))
        return y

    inputs = (x, *learned.values())
    assert torch.autograd.gradcheck(function, inputs)
    assert torch.autograd.gradgradcheck(function, inputs)


def _gradients(module: nn.Module, x: Tensor) -> list[Tensor]:
    leaf = x.clone().requires_grad_()
    (module(leaf * 2) * torch.arange(1.0, 1 + x.numel()).view_as(x)).sum().backward()
    assert leaf.grad is not None
    return [leaf.grad, *(p.grad for p in module.parameters() if p.grad is not None)]


@pytest.mark.parametrize(("case", "training"), [(c, t) for c, t in _MODES if c in INPLACE_CASES], ids=str)
@both_dtypes
def test_gradients_in_place_are_those_of_the_other_form(
    case: str, training: bool, dtype: torch.dtype
) -> None:
    x = _away_from_kinks(dtype)
    in_place = _gradients(rewound(case, training=training, dtype=dtype), x)
    other = _gradients(rewound(case, training=training, dtype=dtype, inplace=False), x)
    assert len(in_place) == len(other)
    for a, b in zip(in_place, other, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0)


@pytest.mark.parametrize("case", INPLACE_CASES)
@both_dtypes
def test_in_place_raises_when_it_overwrites_what_another_backward_needs(
    case: str, dtype: torch.dtype
) -> None:
    module, x = rewound(case, dtype=dtype), _away_from_kinks(dtype).requires_grad_()
    y = module(x.exp())
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()
    with pytest.raises(RuntimeError, match="a leaf Variable that requires grad"):
        module(x)


def test_leaky_relu_of_a_negative_slope_in_place_is_right_or_raises() -> None:
    x = _away_from_kinks()
    cfg = {"type": "LeakyReLU", "negative_slope": -0.5}
    with pytest.raises(RuntimeError, match="negative slope"):
        _gradients(build_activation(cfg | {"inplace": True}), x.float())
    for a, b in zip(
        _gradients(build_activation(cfg | {"inplace": True}), x),
        _gradients(build_activation(cfg), x),
        strict=True,
    ):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("name", ["Softplus", "SoftplusFunction"])
@both_dtypes
def test_gradient_of_softplus_is_the_sigmoid_to_the_ends(name: str, dtype: torch.dtype) -> None:
    x = torch.tensor([-1000.0, -80, -16.7, -1, 0, 1, 17, 80, 1000], dtype=dtype, requires_grad=True)
    build_activation({"type": name})(x).sum().backward()
    torch.testing.assert_close(x.grad, torch.sigmoid(x.detach()), rtol=8 * torch.finfo(dtype).eps, atol=0)


def _saved(case: str, x: Tensor) -> list[Tensor]:
    saved: list[Tensor] = []

    def pack(tensor: Tensor) -> Tensor:
        saved.append(tensor)
        return tensor

    with saved_tensors_hooks(pack, lambda tensor: tensor):
        rewound(case)(x)
    return saved


@pytest.mark.parametrize("case", ["SoftplusFunction", "MyReLU"])
def test_functions_save_their_input_alone(case: str) -> None:
    x = _away_from_kinks(torch.float32).requires_grad_()
    (saved,) = _saved(case, x)
    assert saved.data_ptr() == x.data_ptr()


def test_operators_save_more() -> None:
    assert len(_saved("Softplus", _away_from_kinks(torch.float32).requires_grad_())) > 1


@pytest.mark.parametrize(
    ("cfg", "expected"),
    [
        ({"type": "ReLU"}, 0.0),  # torch's take the slope of the left
        ({"type": "LeakyReLU", "negative_slope": 0.1}, 0.1),
        ({"type": "PReLU"}, 0.25),
        ({"type": "RReLU"}, 11 / 48),
        ({"type": "PaperLeakyReLU", "a": 5.5}, 1.0),  # the paper's and the tutorial's that of the right
        ({"type": "PaperRReLU"}, 1.0),
        ({"type": "MyReLU"}, 1.0),
        ({"type": "Softplus"}, 0.5),
        ({"type": "SoftplusFunction"}, 0.5),
    ],
)
@both_dtypes
def test_gradient_at_zero(cfg: dict[str, object], expected: float, dtype: torch.dtype) -> None:
    x = torch.zeros(1, dtype=dtype, requires_grad=True)
    build_activation(cfg).eval().to(dtype)(x).backward()
    torch.testing.assert_close(x.grad, torch.tensor([expected], dtype=dtype), rtol=1e-7, atol=0)


@pytest.mark.parametrize("case", ["SoftplusFunction", "MyReLU"])
def test_functions_work_under_torch_func(case: str) -> None:
    x = _away_from_kinks(torch.float32)
    module = rewound(case)
    mapped = torch.func.vmap(torch.func.grad(lambda row: module(row).sum()))(x)
    leaf = x.clone().requires_grad_()
    module(leaf).sum().backward()
    torch.testing.assert_close(mapped, leaf.grad)


@pytest.mark.parametrize("asked", [False, True], ids=["as built", "requires_grad of t1"])
def test_clip_learns_t2_and_not_t1(asked: bool) -> None:
    clip = LearnableClip(t1=1, t2=0.5)
    clip.t1.requires_grad_(asked)
    x = torch.tensor([0.0, 0.999, 1.0, 3.0], requires_grad=True)
    (clip(x) * torch.tensor([1.0, 2, 4, 8])).sum().backward()
    assert clip.t1.grad is None
    assert clip.t2.grad == 4 + 8
    assert x.grad is not None
    assert x.grad.tolist() == [1, 2, 0, 0]
    assert set(clip.state_dict()) == {"t1", "t2"}
