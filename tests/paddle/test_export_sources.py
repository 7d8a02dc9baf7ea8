"""All that can be exported: live layers and functions, programs, loaded layers, both formats of files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import paddle
import paddle.nn.functional as F  # noqa: N812
import pytest
from paddle import nn
from paddle.static import InputSpec

import ort_rrelu
from ort_rrelu.functions import OLDEST_OPSET
from tests.bits import assert_same_bits
from tests.paddle.constructs import CONSTRUCTS, Chain, normal
from tests.paddle.exports import attributes_of_nodes, drawn_by_paddle, outputs_of, run, seeds_by_bounds

_SPEC = [InputSpec([None, 7], "float32", "x")]
_X = normal(4, 7)


class _Net(nn.Layer):
    """With weights and a buffer, both of which must be found again."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(7, 5)
        self.norm = nn.BatchNorm1D(5)
        self.act = nn.RReLU(0.1, 0.3)
        self.norm._mean.set_value(paddle.linspace(-1, 1, 5))

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        return F.leaky_relu(self.act(self.norm(self.fc(x))), 0.3)


@pytest.fixture
def net() -> nn.Layer:
    paddle.seed(3)
    layer = _Net()
    layer.eval()
    return layer


def _assert_equal_in_eval(model: onnx.ModelProto, layer: nn.Layer) -> None:
    (node,) = attributes_of_nodes(model)
    assert node["training"] == 0
    np.testing.assert_allclose(run(model, _X)[0], outputs_of(layer, _X)[0], rtol=1e-5, atol=1e-6)


def _assert_equal_in_train(model: onnx.ModelProto, layer: nn.Layer) -> None:
    (node,) = attributes_of_nodes(model)
    assert node["training"] == 1
    layer.act.train()
    expected = drawn_by_paddle(layer, seeds_by_bounds(model), _X)[0]
    np.testing.assert_allclose(run(model, _X)[0], expected, rtol=1e-5, atol=1e-6)


def _assert_equal(model: Any, layer: nn.Layer, **kw: Any) -> None:
    _assert_equal_in_eval(ort_rrelu.paddle.export(model, training=False, **kw), layer)
    _assert_equal_in_train(ort_rrelu.paddle.export(model, training=True, seed=1, **kw), layer)


@pytest.fixture(params=["json", "pdmodel"])
def saved(request: pytest.FixtureRequest, net: nn.Layer, tmp_path: Path) -> Path:
    """The path of a model that Paddle saved, in both formats."""
    if request.param == "json":
        paddle.jit.save(net, str(tmp_path / "net.v2"), input_spec=_SPEC)
    else:
        with paddle.pir_utils.DygraphOldIrGuard():
            paddle.jit.save(net, str(tmp_path / "net.v2"), input_spec=_SPEC)
    path = tmp_path / f"net.v2.{request.param}"
    assert path.is_file()
    return path


def test_saved_model(saved: Path, net: nn.Layer) -> None:
    _assert_equal(saved, net)


def test_saved_model_by_the_name_that_paddle_loads(saved: Path, net: nn.Layer) -> None:
    _assert_equal(str(saved).removesuffix(saved.suffix), net)


def test_saved_model_of_the_old_format_without_weights(tmp_path: Path) -> None:
    with paddle.pir_utils.DygraphOldIrGuard():
        paddle.jit.save(nn.RReLU(0.1, 0.3), str(tmp_path / "net"), input_spec=_SPEC)
    assert [file.name for file in tmp_path.iterdir()] == ["net.pdmodel"]
    model = ort_rrelu.paddle.export(tmp_path / "net", training=True, seed=1)
    ((bounds, seed),) = seeds_by_bounds(model).items()
    assert_same_bits(run(model, _X)[0], ort_rrelu.reference.rrelu(_X, *bounds, training=True, seed=seed))


def test_loaded_layer(saved: Path, net: nn.Layer) -> None:
    if saved.suffix == ".pdmodel":
        with paddle.pir_utils.DygraphOldIrGuard():
            loaded = paddle.jit.load(str(saved.with_suffix("")))
        with pytest.raises(TypeError, match=r"old IR cannot be exported, but the \.pdmodel file"):
            ort_rrelu.paddle.export(loaded)
        return
    _assert_equal(paddle.jit.load(str(saved.with_suffix(""))), net)


def test_loaded_layer_with_weights_changed_since(net: nn.Layer, tmp_path: Path) -> None:
    paddle.jit.save(net, str(tmp_path / "net"), input_spec=_SPEC)
    loaded = paddle.jit.load(str(tmp_path / "net"))
    for weight in loaded.parameters():
        weight.set_value(weight * 2)
    for weight in net.parameters():
        weight.set_value(weight * 2)
    _assert_equal(loaded, net)


@pytest.mark.parametrize("full_graph", [True, False], ids=["full_graph", "default"])
@pytest.mark.parametrize("given", ["decorator", "export"])
def test_decorated_forward(net: nn.Layer, full_graph: bool, given: str) -> None:
    spec = _SPEC if given == "decorator" else None
    static = paddle.jit.to_static(net, input_spec=spec, full_graph=full_graph)
    model = ort_rrelu.paddle.export(static, None, None if spec else _SPEC)
    _assert_equal_in_eval(model, static)


@pytest.mark.parametrize("full_graph", [True, False], ids=["full_graph", "default"])
def test_default_decoration_takes_the_inputs_of_the_last_call(full_graph: bool) -> None:
    @paddle.jit.to_static(full_graph=full_graph)
    def function(x: paddle.Tensor) -> paddle.Tensor:
        return F.rrelu(x, 0.1, 0.3, training=False)

    function(paddle.to_tensor(_X))
    if full_graph:
        with pytest.raises(ValueError, match="input_spec=None"):
            ort_rrelu.paddle.export(function)
        return
    model = ort_rrelu.paddle.export(function)
    np.testing.assert_allclose(run(model, _X)[0], np.where(_X > 0, _X, _X * np.float32(0.2)), rtol=1e-6)


def test_function() -> None:
    def function(x: paddle.Tensor) -> paddle.Tensor:
        return F.rrelu(x, 0.1, 0.3)

    model = ort_rrelu.paddle.export(function, None, _SPEC, seed=1)
    ((bounds, seed),) = seeds_by_bounds(model).items()
    wanted = ort_rrelu.reference.rrelu(_X, *bounds, training=True, seed=seed)
    assert_same_bits(run(model, _X)[0], wanted)


@pytest.fixture
def static_mode() -> Iterator[None]:
    paddle.enable_static()
    yield
    paddle.disable_static()


def test_static_program(static_mode: None) -> None:
    main, startup = paddle.static.Program(), paddle.static.Program()
    with paddle.static.program_guard(main, startup):
        x = paddle.static.data("x", [None, 7], "float32")
        hidden = paddle.static.nn.fc(x, 5)
        trained = F.rrelu(hidden, 0.1, 0.3, training=True)
        y = F.rrelu(trained, 0.2, 0.4, training=False)
    executor = paddle.static.Executor(paddle.CPUPlace())
    executor.run(startup)
    model = ort_rrelu.paddle.export(main, feed_vars=[x], fetch_vars=[hidden, y], seed=1)
    assert [node["training"] for node in attributes_of_nodes(model)] == [1, 0]
    seed = attributes_of_nodes(model)[0]["seed"]
    (wanted,) = executor.run(main, feed={"x": _X}, fetch_list=[hidden])
    actual, drawn = run(model, _X)
    np.testing.assert_allclose(actual, wanted, rtol=1e-5, atol=1e-6)
    middle = ort_rrelu.reference.rrelu(actual, 0.1, 0.3, training=True, seed=seed)
    np.testing.assert_allclose(drawn, ort_rrelu.reference.rrelu(middle, 0.2, 0.4), rtol=1e-6)


def test_chain_is_pruned_to_what_is_fetched(static_mode: None) -> None:
    main = paddle.static.Program()
    with paddle.static.program_guard(main):
        x = paddle.static.data("x", [None, 7], "float32")
        y = F.rrelu(x, 0.1, 0.3)
        F.rrelu(y, 0.2, 0.4)
    model = ort_rrelu.paddle.export(main, feed_vars=[x], fetch_vars=[y])
    assert len(attributes_of_nodes(model)) == 1


def test_models_own_elu_and_leaky_relu_keep_their_slopes(saved: Path, net: nn.Layer) -> None:
    """The stock pair writes 2.5e-43 for a leaky_relu of 0.3, without a word."""

    class Slopes(nn.Layer):
        def forward(self, x: paddle.Tensor) -> paddle.Tensor:
            y = F.rrelu(x, 0.1, 0.3, training=self.training)
            return F.leaky_relu(y, 0.3), F.elu(y, 0.7), F.leaky_relu(x)

    layer = Slopes()
    layer.eval()
    model = ort_rrelu.paddle.export(layer, None, _SPEC)
    for actual, wanted in zip(run(model, _X), outputs_of(layer, _X), strict=True):
        np.testing.assert_allclose(actual, wanted, rtol=1e-6)
    for exported in (model, ort_rrelu.paddle.export(saved)):
        slopes = [node.attribute[0].f for node in exported.graph.node if node.op_type == "LeakyRelu"]
        assert slopes[0] == np.float32(0.3)


def test_model_without_rrelu() -> None:
    model = ort_rrelu.paddle.export(nn.Linear(7, 5), None, _SPEC)
    assert [entry.domain for entry in model.opset_import] == [""]


def test_other_opset_version() -> None:
    for version in (11, 13, 19):
        portable = version >= OLDEST_OPSET
        model = ort_rrelu.paddle.export(
            Chain(), None, _SPEC, opset_version=version, training=False, portable=portable
        )
        assert {entry.domain: entry.version for entry in model.opset_import}[""] == version
        of = CONSTRUCTS["chain of different bounds"]
        np.testing.assert_allclose(run(model, *of.inputs)[0].shape, (4, 7))


class _Recurrent(nn.Layer):
    """Paddle's LSTM has a buffer that stands in the program and not in the weight file."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.rrelu = nn.LSTM(7, 5), nn.RReLU()

    def forward(self, x: Any) -> Any:
        return self.rrelu(self.lstm(x)[0])


def test_recurrent_network() -> None:
    net, x = _Recurrent(), normal(2, 3, 7)
    net.eval()
    model = ort_rrelu.paddle.export(net, None, [InputSpec([2, 3, 7], "float32", "x")])
    np.testing.assert_allclose(run(model, x)[0], outputs_of(net, x)[0], rtol=1e-5, atol=1e-6)
