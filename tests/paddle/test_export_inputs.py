"""What input_spec makes an input: the same as paddle.jit.save, by name, shape and dtype."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import paddle
import paddle.nn.functional as F  # noqa: N812
import pytest
from onnx import helper
from paddle import nn
from paddle.static import InputSpec

import ort_rrelu
from ort_rrelu.errors import InvalidTypeError, InvalidValueError
from tests.onnx_models import Array
from tests.paddle.constructs import normal
from tests.paddle.exports import outputs_of, run

_Input = tuple[str, list[int], str]

_X, _Y = normal(4, 7), normal(4, 7)[::-1].copy()


class _One(nn.Layer):
    def forward(self, x: Any) -> Any:
        return F.rrelu(x, 0.1, 0.3, training=self.training)


class _WithValues(nn.Layer):
    def forward(self, x: Any, factor: Any, function: Any) -> Any:
        return function(F.rrelu(x, 0.1, 0.3, training=self.training) * factor)


class _Two(nn.Layer):
    def forward(self, x: Any, y: Any) -> Any:
        return F.rrelu(x, 0.1, 0.3, training=self.training) + 2 * y


class _List(nn.Layer):
    def forward(self, xs: Any) -> Any:
        return F.rrelu(xs[0], 0.1, 0.3, training=self.training) + 2 * xs[1]


class _Dict(nn.Layer):
    def forward(self, xs: Any) -> Any:
        return F.rrelu(xs["b"][0], 0.1, 0.3, training=self.training) + 2 * xs["a"]


class _Weighted(nn.Layer):
    def __init__(self) -> None:
        super().__init__()
        self.weight = self.create_parameter([4, 7])

    def forward(self, x: Any) -> Any:
        return F.rrelu(x * self.weight)


def _in_eval(layer: nn.Layer) -> nn.Layer:
    layer.eval()
    return layer


def _inputs(model: onnx.ModelProto) -> list[_Input]:
    types = [(each.name, each.type.tensor_type) for each in model.graph.input]
    return [
        (name, [d.dim_value or -1 for d in t.shape.dim], str(helper.tensor_dtype_to_np_dtype(t.elem_type)))
        for name, t in types
    ]


def _inputs_saved_by_paddle(layer: nn.Layer, input_spec: Any, folder: Path) -> list[_Input]:
    paddle.jit.save(layer, str(folder / "net"), input_spec=input_spec)
    loaded = paddle.jit.load(str(folder / "net"))  # its program ends with it
    ops = [op for op in loaded.program().global_block().ops if op.name() == "pd_op.data"]
    values = [(op.attrs()["name"], op.result(0)) for op in ops]
    return [(name, list(x.shape), str(x.dtype).removeprefix("paddle.")) for name, x in values]


def _tensor(values: Array = _X) -> paddle.Tensor:
    return paddle.to_tensor(values)


def _spec(*name: str) -> InputSpec:
    return InputSpec([None, 7], "float32", *name)


# The layer, its input_spec, and the arguments that stand for the model's inputs in their order.
_AS_PADDLE: dict[str, tuple[type[nn.Layer], Callable[[], list[Any]], Callable[[Any, Any], list[Any]]]] = {
    "tensor": (_One, lambda: [_tensor()], lambda x, _: [x]),
    "tensor and values": (_WithValues, lambda: [_tensor(), 3.0, F.tanh], lambda x, _: [x, 3.0, F.tanh]),
    "tensor beside a spec": (_Two, lambda: [_tensor(), _spec()], lambda x, y: [x, y]),
    "list": (_List, lambda: [[_tensor(), _spec("second")]], lambda x, y: [[x, y]]),
    "tuple in a dict": (
        _Dict,
        lambda: [{"b": (_tensor(),), "a": _tensor()}],
        lambda x, y: [{"a": x, "b": (y,)}],
    ),
}


@pytest.mark.parametrize(("kind", "make", "arguments"), _AS_PADDLE.values(), ids=_AS_PADDLE)
def test_inputs_are_those_that_paddle_saves(kind: Any, make: Any, arguments: Any, tmp_path: Path) -> None:
    layer, input_spec = _in_eval(kind()), make()
    model = ort_rrelu.paddle.export(layer, None, input_spec)
    wanted = _inputs_saved_by_paddle(layer, input_spec, tmp_path)
    assert len(wanted) > 0
    assert _inputs(model) == wanted
    expected = layer(*arguments(_tensor(_X), _tensor(_Y))).numpy()
    np.testing.assert_allclose(run(model, *[_X, _Y][: len(wanted)])[0], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("example", [_X, _X.astype(np.float64), np.array(-2.0, np.float32)])
def test_array_is_an_input_named_after_its_argument(example: Array) -> None:
    layer = _in_eval(_One())
    model = ort_rrelu.paddle.export(layer, None, [example])
    assert _inputs(model) == [("x", list(example.shape), str(example.dtype))]
    np.testing.assert_allclose(run(model, example)[0], outputs_of(layer, example)[0], rtol=1e-5, atol=1e-6)


def test_tensor_given_to_the_decorator_is_an_input() -> None:
    example = _tensor()
    layer = paddle.jit.to_static(_in_eval(_One()), input_spec=[example], full_graph=True)
    assert _inputs(ort_rrelu.paddle.export(layer)) == [(example.name, [4, 7], "float32")]


def test_one_spec_for_two_arguments_is_two_inputs_and_stays_as_it_was() -> None:
    spec = _spec()
    model = ort_rrelu.paddle.export(_Two(), None, [spec, spec])
    assert _inputs(model) == [("x", [-1, 7], "float32"), ("y", [-1, 7], "float32")]
    assert spec == _spec()


_EQUAL_NAMES: dict[str, tuple[Callable[[], nn.Layer], Callable[[Any], list[Any]], str]] = {
    "one tensor twice": (_Two, lambda _: [_tensor()] * 2, "input 1 has the name '.*', and so has input 0"),
    "two names": (_Two, lambda _: [_spec("a"), _spec("a")], "input 1 has the name 'a', and so has input 0"),
    "an argument's": (_Two, lambda _: [_spec("y"), _spec()], "input 1 has the name 'y', and so has input 0"),
    "a weight": (_Weighted, lambda net: [net.weight], "input 0 has the name '.*', and so has a weight"),
}


@pytest.mark.parametrize(("kind", "make", "message"), _EQUAL_NAMES.values(), ids=_EQUAL_NAMES)
def test_equal_names_are_refused(kind: Any, make: Any, message: str) -> None:
    layer = kind()
    with pytest.raises(InvalidValueError, match=f"^input_spec: {message}: give it another, with InputSpec"):
        ort_rrelu.paddle.export(layer, None, make(layer))


class _Holder:
    tensor = paddle.ones([4, 7])


@pytest.mark.parametrize(
    ("input_spec", "error", "message"),
    [
        ([_X, _Holder()], InvalidTypeError, r"\[1\] is a .*_Holder: it must be a paddle\.static\.InputSpec"),
        ([[_X, {"a": {3}}]], InvalidTypeError, r"\[0\]\[1\]\['a'\] is a builtins\.set: it must be"),
        ([nn.RReLU()], InvalidTypeError, r"\[0\] is a paddle\..*RReLU: it must be"),
        ([_X, np.array(["a"])], InvalidTypeError, r"\[1\] is an array of <U1, which Paddle does not have"),
        ([{0: _spec()}], InvalidValueError, r"\[0\]\[0\] needs a name, because its key is not a str"),
    ],
)
def test_what_is_neither_input_nor_value_is_refused(input_spec: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=f"^input_spec{message}"):
        ort_rrelu.paddle.export(_One(), None, input_spec)


def test_data_parallel_is_exported_as_its_layer() -> None:
    layer = _in_eval(nn.Sequential(nn.Linear(7, 5), nn.RReLU(0.1, 0.3)))
    wrapped = paddle.DataParallel(layer)
    expected = ort_rrelu.paddle.export(layer, None, [_spec("x")])
    actual = ort_rrelu.paddle.export(wrapped, None, [_spec("x")])
    assert _inputs(actual) == [("x", [-1, 7], "float32")]
    np.testing.assert_array_equal(run(actual, _X)[0], run(expected, _X)[0])
    np.testing.assert_allclose(run(actual, _X)[0], outputs_of(wrapped, _X)[0], rtol=1e-5, atol=1e-6)


def test_hook_of_data_parallel_itself_is_refused() -> None:
    wrapped = paddle.DataParallel(nn.RReLU())
    wrapped.register_forward_post_hook(lambda *_: None)
    with pytest.raises(InvalidValueError, match=r"^a forward hook of the paddle\.DataParallel itself"):
        ort_rrelu.paddle.export(wrapped, None, [_spec("x")])
