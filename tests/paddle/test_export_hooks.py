"""Forward hooks, weight_norm and spectral_norm among them, are part of the exported model."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import paddle
import paddle.nn.functional as F  # noqa: N812
import pytest
from paddle import nn
from paddle.nn.utils import spectral_norm, weight_norm
from paddle.static import InputSpec

import ort_rrelu
from ort_rrelu.errors import InvalidValueError
from tests.paddle.constructs import normal
from tests.paddle.exports import outputs_of, run

_SPEC = [InputSpec([None, 7], "float32", "x")]
_X = normal(4, 7)


def _pre(layer: nn.Layer) -> nn.Layer:
    layer.register_forward_pre_hook(lambda _, inputs: (inputs[0] * 2 + 1,))
    return layer


def _post(layer: nn.Layer) -> nn.Layer:
    layer.register_forward_post_hook(lambda _, __, y: F.rrelu(y, 0.1, 0.3, training=False) + 1)
    return layer


def _pre_with_keywords(layer: nn.Layer) -> nn.Layer:
    layer.register_forward_pre_hook(lambda _, inputs, kw: ((inputs[0] * 2 + 1,), kw), with_kwargs=True)
    return layer


def _linear() -> nn.Layer:
    return nn.Linear(7, 7)


_HOOKED: dict[str, Callable[[], nn.Layer]] = {
    "pre": lambda: _pre(_linear()),
    "post": lambda: _post(_linear()),
    "both": lambda: _post(_pre(_linear())),
    "weight_norm": lambda: weight_norm(_linear()),
    "spectral_norm": lambda: spectral_norm(_linear()),
    "weight_norm and a hook": lambda: _post(weight_norm(_linear())),
    "inner": lambda: nn.Sequential(_pre(_linear()), nn.RReLU(), _post(_linear())),
    "inner with keywords": lambda: nn.Sequential(_pre_with_keywords(_linear()), nn.RReLU()),
    "inner weight_norm": lambda: nn.Sequential(weight_norm(_linear()), nn.RReLU()),
    "outer and inner": lambda: _post(_pre(nn.Sequential(spectral_norm(_linear()), _post(nn.RReLU())))),
}


@pytest.mark.parametrize("decorated", [False, True], ids=["plain", "to_static"])
@pytest.mark.parametrize("make", _HOOKED.values(), ids=_HOOKED)
def test_hooks_are_exported(make: Callable[[], nn.Layer], decorated: bool) -> None:
    paddle.seed(3)
    layer = make()
    layer.eval()
    expected = outputs_of(layer, _X)[0]
    if decorated:
        layer = paddle.jit.to_static(layer, full_graph=True)
    model = ort_rrelu.paddle.export(layer, None, _SPEC)
    np.testing.assert_allclose(run(model, _X)[0], expected, rtol=1e-5, atol=1e-6)


def test_no_hooks_where_paddle_calls_none() -> None:
    layer = _post(_linear())
    model = ort_rrelu.paddle.export(layer.forward, None, _SPEC)
    expected = layer.forward(paddle.to_tensor(_X)).numpy()
    np.testing.assert_allclose(run(model, _X)[0], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("norm", [weight_norm, spectral_norm])
def test_export_leaves_the_normed_weight_as_it_was(norm: Callable[[nn.Layer], nn.Layer]) -> None:
    layer = nn.Sequential(norm(_linear()), nn.RReLU())
    before = layer[0].weight.numpy()
    ort_rrelu.paddle.export(layer, None, _SPEC)
    assert (layer[0].weight.numpy() == before).all()


def test_outermost_hook_with_keywords_is_refused() -> None:
    with pytest.raises(InvalidValueError, match=r"Linear: a forward pre-hook .* with_kwargs=True"):
        ort_rrelu.paddle.export(_pre_with_keywords(_linear()), None, _SPEC)
