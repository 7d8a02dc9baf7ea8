"""Every activation through both exporters: ONNX Runtime equals torch, for any batch, in float and double."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from models.activations import build_activation
from models.activations.gradient import export_with_gradient
from models.activations.learnable_clip import LearnableClip
from models.activations.threshold import learn_threshold
from tests.models.activation_cases import (
    CASES,
    INPLACE_CASES,
    TRAIN_CASES,
    activation_input,
    every_case,
    rewound,
)
from tests.onnx_models import run, session
from tests.torch.arrays import array, normal
from tests.torch.constructs import Applied, Parallel
from tests.torch.exports import both_exporters, export_quietly, outputs_of

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")  # torch's, about itself

_DTYPES = (torch.float32, torch.float64)
_ONE_OF_EACH_TYPE = [case for case, cfg in CASES.items() if case == cfg["type"]]


class _InBothDtypes(nn.Module):
    """A case in float and in double, each on an input of its own, behind a product as in a network.

    The product is for what works in place, which overwrites it.
    """

    def __init__(self, case: str, training: bool) -> None:
        super().__init__()
        seeds = [{"seed": seed} if "seed" in CASES[case] else {} for seed in (3, 4)]  # nodes share none
        self.cases = nn.ModuleList(
            rewound(case, training=training, dtype=dtype, **seed)
            for dtype, seed in zip(_DTYPES, seeds, strict=True)
        )
        self.train(training)

    def forward(self, x: Tensor, x64: Tensor) -> tuple[Tensor, ...]:
        return tuple(case(value * 2) for case, value in zip(self.cases, (x, x64), strict=True))


def _inputs(batch: int) -> tuple[Tensor, ...]:
    return tuple(activation_input(batch, dtype) for dtype in _DTYPES)


def _dynamic_batch(dynamo: bool) -> dict[str, Any]:
    if dynamo:
        return {"dynamic_shapes": [{0: torch.export.Dim("batch")}] * 2}
    names: dict[str, Any] = {"input_names": ["x", "x64"], "output_names": ["y", "y64"]}
    return names | {"dynamic_axes": {name: {0: "batch"} for name in ("x", "x64", "y", "y64")}}


def _assert_equals_torch(case: str, *, training: bool, dynamo: bool) -> None:
    module = _InBothDtypes(case, training)
    model = export_quietly(module, _inputs(2), dynamo=dynamo, **_dynamic_batch(dynamo))
    for value in (*model.graph.input, *model.graph.output):
        assert value.type.tensor_type.shape.dim[0].dim_param == "batch"
    # Softplus is made of exp and log, which every library rounds its own way; the rest is arithmetic.
    ulps = 6 if "Softplus" in case else 0
    for batch in (0, 1, 5):
        feeds = {i.name: array(x) for i, x in zip(model.graph.input, _inputs(batch), strict=True)}
        # A session of its own for each: in train mode it begins with step 0, as the module does.
        for actual, expected in zip(
            session(model).run(None, feeds), outputs_of(module, *_inputs(batch)), strict=True
        ):
            assert (actual.dtype, actual.shape) == (expected.dtype, (batch, 3, 8))
            np.testing.assert_allclose(actual, expected, rtol=ulps * np.finfo(actual.dtype).eps, atol=0)


@both_exporters
@every_case
def test_eval_equals_torch(case: str, dynamo: bool) -> None:
    _assert_equals_torch(case, training=False, dynamo=dynamo)


@both_exporters
@every_case
def test_limits_equal_torch(case: str, dynamo: bool) -> None:
    x = torch.tensor([[[np.inf, -np.inf, 3e38, -3e38, np.nan]] * 3])
    module = nn.Sequential(nn.Identity(), rewound(case))
    model = export_quietly(module, (x.clone(),), dynamo=dynamo)
    np.testing.assert_array_equal(run(session(model), array(x))[0], outputs_of(module, x.clone())[0])


@both_exporters
@pytest.mark.parametrize("case", TRAIN_CASES)
def test_train_equals_torch(case: str, dynamo: bool) -> None:
    _assert_equals_torch(case, training=True, dynamo=dynamo)


@pytest.mark.parametrize("case", INPLACE_CASES)
def test_in_place_on_the_input_of_the_model(case: str) -> None:
    x = activation_input()
    model = export_quietly(rewound(case), (x.clone(),), dynamo=False)
    np.testing.assert_array_equal(run(session(model), array(x))[0], outputs_of(rewound(case), x)[0])


@both_exporters
@pytest.mark.parametrize("case", ["SoftplusFunction", "MyReLU"])
def test_functions_become_operators_of_onnx(case: str, dynamo: bool) -> None:
    model = export_quietly(rewound(case), (activation_input(),), dynamo=dynamo)
    assert {node.domain for node in model.graph.node} == {""}
    onnx.checker.check_model(model, full_check=True)


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize("case", ["SoftplusFunction", "MyReLU"])
def test_functions_in_exported_programs(case: str, strict: bool) -> None:
    x = activation_input()
    program = torch.export.export(rewound(case), (x,), strict=strict)
    (actual,) = run(session(export_quietly(program)), array(x))
    np.testing.assert_allclose(actual, outputs_of(rewound(case), x)[0], rtol=1e-6)


class _Cube(torch.autograd.Function):
    """One that a user would write, in the older style and with a wrong gradient to tell it by."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x * x * x

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        dx: Tensor = dy * 3 * x * x + 100
        return dx


@both_exporters
def test_functions_of_users_export_without_onnx_being_written(dynamo: bool) -> None:
    module = Applied(lambda x, _: _Cube.apply(x))  # type: ignore[no-untyped-call]
    model = export_quietly(module, (normal(2, 3),), dynamo=dynamo)
    (actual,) = run(session(model), array(normal(2, 3)))
    np.testing.assert_allclose(actual, normal(2, 3) ** 3, rtol=1e-6)


def test_backward_by_hand_is_what_the_exported_gradient_computes() -> None:
    model = export_with_gradient(Applied(lambda x, _: _Cube.apply(x)), normal(2, 3))  # type: ignore[no-untyped-call]
    _, gradient = run(session(model), array(normal(2, 3)))
    np.testing.assert_allclose(gradient, 3 * normal(2, 3) ** 2 + 100, rtol=1e-6)


@pytest.mark.parametrize("case", _ONE_OF_EACH_TYPE)
def test_exported_gradient_equals_torch(case: str) -> None:
    cfg = {name: value for name, value in CASES[case].items() if name != "seed"}
    module, x = build_activation(cfg).eval().double(), activation_input(dtype=torch.float64)
    leaf = x.clone().requires_grad_()
    module(leaf).sum().backward()
    assert leaf.grad is not None
    y, gradient = run(session(export_with_gradient(module, x)), array(x))
    np.testing.assert_allclose(y, outputs_of(module, x)[0], rtol=1e-14)
    # ONNX Runtime's Sigmoid is 0 where it is below the rounding of 1.
    np.testing.assert_allclose(gradient, array(leaf.grad), rtol=1e-14, atol=1e-16)


@pytest.mark.parametrize("name", ["RReLU", "PaperRReLU"])
def test_exported_gradient_in_train_mode_is_of_the_same_draw(name: str) -> None:
    x = activation_input()
    model = export_with_gradient(build_activation({"type": name}).train(), x, seed=5)
    y, gradient = run(session(model), array(x))
    np.testing.assert_allclose(y, gradient * array(x), rtol=1e-6)
    assert len(np.unique(gradient[array(x) < 0])) > 5


@both_exporters
def test_unseeded_rrelu_of_the_paper_needs_no_library(dynamo: bool) -> None:
    torch.manual_seed(0)
    module = Parallel(*(build_activation({"type": "PaperRReLU"}) for _ in range(2))).train()
    x = -torch.ones(100, 400)
    model = export_quietly(module, (x,), dynamo=dynamo)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        of = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    first, second = of.run(None, {of.get_inputs()[0].name: array(x)})
    assert (first != second).mean() > 0.99
    for y in (first, second):
        divisors = np.sort(-1 / y.astype(np.float64), axis=None)
        assert np.abs(divisors - np.linspace(3, 8, y.size)).max() < 0.08  # Kolmogorov and Smirnov


@both_exporters
def test_learned_threshold_arrives_in_onnx_runtime(dynamo: bool) -> None:
    clip, x = LearnableClip(t1=1, t2=1), torch.tensor([0.5, 2.0])
    before = export_quietly(clip, (x,), dynamo=dynamo)
    learn_threshold(clip)
    after = export_quietly(clip, (x,), dynamo=dynamo)
    assert run(session(before), array(x))[0].tolist() == [0.5, 1.0]
    assert run(session(after), array(x))[0].tolist() == [0.5, clip.t2.item()]
    assert clip.t2.item() < 0.8
