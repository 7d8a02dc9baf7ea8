"""What stands on an exported RRelu node: attributes, mode, noise, gradient."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest
import torch
import torch.nn.functional as F  # noqa: N812  # as everybody calls it
from torch import Tensor, nn
from torch.fx.experimental.proxy_tensor import make_fx

import ort_rrelu.torch
from ort_rrelu import reference
from ort_rrelu.graph.nodes import our_nodes
from tests.bits import assert_same_bits
from tests.onnx_models import run, session
from tests.torch.arrays import array, normal
from tests.torch.constructs import CONSTRUCTS, Applied, Parallel
from tests.torch.exports import (
    BASE_SEED,
    X,
    both_exporters,
    export_quietly,
    exported,
    node_attributes,
    outputs_of,
    train_seeds,
)

_aten = torch.ops.aten


@both_exporters
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("construct", CONSTRUCTS)
def test_every_attribute_is_written(construct: str, training: bool, dynamo: bool) -> None:
    # ONNX Runtime knows no defaults for a custom op.
    nodes = node_attributes(exported(construct, dynamo=dynamo, training=training))
    assert nodes
    for node in nodes:
        assert {name: type(value) for name, value in node.items()} == {
            "lower": float,
            "upper": float,
            "training": int,
            "seed": int,
        }
        assert node["training"] == int(training)


@both_exporters
@pytest.mark.parametrize("bounds", [(0.1, 0.3), (-2.0, 5.0), (1 / 8, 1 / 3)], ids=str)
def test_bounds_are_those_of_the_module(bounds: tuple[float, float], dynamo: bool) -> None:
    (node,) = node_attributes(export_quietly(nn.RReLU(*bounds), dynamo=dynamo))
    assert (node["lower"], node["upper"]) == tuple(np.array(bounds, np.float32).tolist())


_REFUSED = [
    (0.5, 0.2, "lower"),
    (0.1, math.inf, "upper"),
    (-math.inf, 0.1, "lower"),
    (math.nan, 0.1, "lower"),
    (-3e38, 3e38, "upper"),
    (0.1, 1e300, "upper"),
]


@both_exporters
@pytest.mark.parametrize(("lower", "upper", "culprit"), _REFUSED)
def test_bounds_of_a_module_out_of_range_are_refused(
    lower: float, upper: float, culprit: str, dynamo: bool
) -> None:
    with pytest.raises(ValueError, match=rf"RReLU module '1': .*\b{culprit}") as caught:
        export_quietly(nn.Sequential(nn.Identity(), nn.RReLU(lower, upper)), dynamo=dynamo)
    assert isinstance(caught.value, ort_rrelu.Error)


@both_exporters
def test_bounds_of_a_call_out_of_range_are_refused(dynamo: bool) -> None:
    with pytest.raises(ValueError, match="upper - lower") as caught:
        export_quietly(Applied(lambda x, _: F.rrelu(x, -3e38, 3e38)), dynamo=dynamo)
    assert isinstance(caught.value, ort_rrelu.Error)


@both_exporters
def test_each_module_keeps_its_own_mode(dynamo: bool) -> None:
    module = Parallel(nn.RReLU().train(), nn.RReLU().eval(), ort_rrelu.torch.RReLU(0.1, 0.2).eval())
    model = export_quietly(module, dynamo=dynamo)
    assert [node["training"] for node in node_attributes(model)] == [1, 0, 0]


class _BesideOthers(nn.Module):
    """Dropout and BatchNorm, whose mode is not ours to change."""

    def __init__(self) -> None:
        super().__init__()
        self.batch_norm, self.dropout = nn.BatchNorm1d(3), nn.Dropout()
        self.theirs, self.ours = nn.RReLU(), ort_rrelu.torch.RReLU(seed=3)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.ours(self.theirs(self.dropout(self.batch_norm(x))))
        return y


def _without_rrelu(model: onnx.ModelProto) -> list[tuple[str, tuple[str, ...]]]:
    """The other nodes, with their attributes; values are numbered by what stands before them."""
    return [
        (node.op_type, tuple(str(a) for a in node.attribute))
        for node in model.graph.node
        if node.domain != "ort_rrelu" and node.op_type != "Constant"
    ]


@both_exporters
@pytest.mark.parametrize("own", [True, False], ids=["train model", "eval model"])
def test_training_overrides_rrelu_and_nothing_else(own: bool, dynamo: bool) -> None:
    as_it_is, train, evaluate = (
        export_quietly(_BesideOthers().train(own), training=training, dynamo=dynamo)
        for training in (None, True, False)
    )
    for model, mode in ((as_it_is, own), (train, True), (evaluate, False)):
        assert [node["training"] for node in node_attributes(model)] == [int(mode)] * 2
        assert _without_rrelu(model) == _without_rrelu(as_it_is)


@both_exporters
@pytest.mark.parametrize("construct", [c for c in CONSTRUCTS if c != "rrelu_with_noise_functional"])
def test_unread_noise_is_no_output(construct: str, dynamo: bool) -> None:
    model = exported(construct, dynamo=dynamo, training=True)
    assert {len(node.output) for node in our_nodes(model)} == {1}


@both_exporters
@pytest.mark.parametrize("own", [True, False], ids=["train model", "eval model"])
@pytest.mark.parametrize("training", [None, True, False])
def test_read_noise_is_kept(own: bool, training: bool | None, dynamo: bool) -> None:
    given = normal(*X.shape) + 5
    module = Applied(lambda x, mode: _aten.rrelu_with_noise_functional(x, given, 0.1, 0.3, mode))
    model = export_quietly(module.train(own), seed=BASE_SEED, training=training, dynamo=dynamo)
    _, actual = run(session(model), array(X))
    if own if training is None else training:
        _, noise = reference.rrelu(array(X), 0.1, 0.3, True, seed=train_seeds(model)[0], return_noise=True)
        assert_same_bits(actual, noise)
    else:  # torch leaves its argument alone
        assert_same_bits(actual, array(given))


def test_noise_written_in_place_is_refused_where_torchscript_cannot_express_it() -> None:
    def write(x: Tensor, training: bool) -> Tensor:
        noise = torch.ones_like(x)
        y: Tensor = _aten.rrelu_with_noise(x, noise, 0.1, 0.3, training)
        return y + noise

    with pytest.raises(torch.onnx.errors.SymbolicValueError, match="rrelu_with_noise_functional"):
        export_quietly(Applied(write).train(), dynamo=False)


def test_module_called_with_a_step_keeps_it() -> None:
    module = Applied(lambda x, _: ort_rrelu.torch.RReLU(seed=3)(x, step=8))
    for dynamo in (True, False):
        (actual,) = run(session(export_quietly(module.train(), step_input=True, dynamo=dynamo)), array(X))
        assert_same_bits(actual, reference.rrelu(array(X), training=True, seed=3, step=8))


class _ForwardAndBackward(nn.Module):
    """x, dy -> y, dx: the joint graph of a training step."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: Tensor, dy: Tensor) -> tuple[Tensor, Tensor]:
        y = self.module(x)
        (dx,) = torch.autograd.grad(y, x, dy)
        return y, dx


def _traced(module: nn.Module, x: Tensor, dy: Tensor) -> Any:
    return make_fx(_ForwardAndBackward(module), tracing_mode="fake")(x.clone().requires_grad_(), dy)


def _as_it_is(module: nn.Module, x: Tensor, dy: Tensor) -> Any:
    return _ForwardAndBackward(module)


@pytest.mark.parametrize("own", [True, False], ids=["train model", "eval model"])
@pytest.mark.parametrize("training", [None, True, False])
@pytest.mark.parametrize(
    ("make", "joint"),
    [(nn.RReLU, _traced), (ort_rrelu.torch.RReLU, _as_it_is)],
    ids=["nn.RReLU traced", "ort_rrelu.torch.RReLU"],
)
def test_joint_forward_and_backward_graph(
    make: Callable[[], nn.Module], joint: Callable[..., Any], training: bool | None, own: bool
) -> None:
    dy = normal(*X.shape) + 3
    module = make().train(own)
    model = export_quietly(
        joint(module, X, dy), (X.clone().requires_grad_(), dy), seed=BASE_SEED, training=training
    )
    y, dx = run(session(model), array(X), array(dy))
    if own if training is None else training:
        (seed,) = train_seeds(model)
        drawn, noise = reference.rrelu(array(X), training=True, seed=seed, return_noise=True)
        assert_same_bits(y, drawn)
        assert_same_bits(dx, array(_aten.rrelu_with_noise_backward(
            dy, X, torch.from_numpy(noise), 1 / 8, 1 / 3, True, False
        )))  # fmt: skip
    else:
        x = X.clone().requires_grad_()
        leaked = module.eval()(x)
        leaked.backward(dy)
        assert x.grad is not None
        np.testing.assert_allclose(y, array(leaked), rtol=1e-7)
        np.testing.assert_allclose(dx, array(x.grad), rtol=1e-7)


@both_exporters
def test_export_leaves_model_mode_and_generator_of_a_seeded_module(dynamo: bool) -> None:
    module = ort_rrelu.torch.RReLU(seed=3).train()
    before = outputs_of(module, X)
    export_quietly(module, dynamo=dynamo)
    assert module.training
    after = outputs_of(module, X)
    for step, (y,) in enumerate((before, after)):
        assert_same_bits(y, reference.rrelu(array(X), training=True, seed=3, step=step))
