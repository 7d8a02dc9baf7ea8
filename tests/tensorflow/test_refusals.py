"""What ort_rrelu.tensorflow.export refuses, and that the message names the culprit and what to do."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import keras
import pytest
import tensorflow as tf
from tf2onnx.handler import tf_op

import ort_rrelu
from ort_rrelu.errors import (
    ConversionError,
    InvalidTypeError,
    InvalidValueError,
    MissingPackageError,
    ModelFileError,
)
from tests.tensorflow.networks import RReLU, rrelu, spec

export = ort_rrelu.tensorflow.export
_GENERATOR = tf.random.Generator.from_seed(1)
_SEEDS = keras.random.SeedGenerator(1)
_DROPOUT = keras.layers.Dropout(0.5)


def _leaky(slopes: Any) -> Any:
    return lambda x: tf.where(x >= 0, x, x * slopes(x))


class _Branch(tf.Module):
    def __call__(self, x: Any) -> Any:
        return tf.cond(
            tf.reduce_sum(x) > 0, lambda: x * tf.random.stateless_uniform(tf.shape(x), [1, 2]), lambda: x
        )


_DRAWS = {
    "Generator": (
        _leaky(lambda x: _GENERATOR.uniform(tf.shape(x), 0.1, 0.3)),
        "RngReadAndSkip",
        "tf.random.Generator",
    ),
    "keras.random": (
        _leaky(lambda x: keras.random.uniform(tf.shape(x), 0.1, 0.3, seed=_SEEDS)),
        "StatelessRandomUniformV2",
        "keras.random",
    ),
    "keras.random with a number": (
        _leaky(lambda x: keras.random.uniform(tf.shape(x), 0.1, 0.3, seed=3)),
        "StatelessRandomUniformV2",
        "keras.random",
    ),
    "stateless": (
        _leaky(lambda x: tf.random.stateless_uniform(tf.shape(x), [1, 2], 0.1, 0.3)),
        "StatelessRandomUniformV2",
        "tf.random.stateless_",
    ),
    "normal": (
        lambda x: x + tf.random.stateless_normal(tf.shape(x), [1, 2]),
        "StatelessRandomNormalV2",
        "tf.random.stateless_",
    ),
    "another distribution": (
        lambda x: x + tf.random.truncated_normal(tf.shape(x)),
        "TruncatedNormal",
        "that distribution",
    ),
    "Dropout": (lambda x: _DROPOUT(x, training=True), "StatelessRandomUniformV2", "Dropout"),
    "a branch": (_Branch(), "StatelessRandomUniformV2", "tf.random.stateless_"),
}  # fmt: skip


@pytest.mark.parametrize("static", [False, True])
@pytest.mark.parametrize("case", _DRAWS)
def test_draws_with_a_key_are_refused_by_name(case: str, static: bool) -> None:
    """Of static shapes TensorFlow would make constants."""
    function, op, name = _DRAWS[case]
    with pytest.raises(ConversionError) as error:
        export(function, None, [spec(4 if static else None, 8)])
    assert op in str(error.value) and name in str(error.value) and "tf.random.uniform" in str(error.value)


def _with_gates(x: Any) -> Any:
    """Zeros and ones by chance, from logits that are constant."""
    return rrelu(x) * tf.cast(tf.random.categorical(tf.math.log([[0.5, 0.5]]), 8), tf.float32)


def _in_python(x: Any) -> Any:
    return x * tf.numpy_function(lambda low: low, [[0.1] * 8], tf.float32)


def _of_tensorflow_1(x: Any) -> Any:
    draws = tf.raw_ops.RandomUniform(shape=tf.shape(x), dtype=tf.float32, seed=87654321, seed2=16777217)
    slopes = tf.raw_ops.Add(x=tf.raw_ops.Mul(x=draws, y=0.2), y=0.1)
    return tf.where(x >= 0, x, slopes * x)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (
            _with_gates,
            'op Multinomial "categorical.*makes a constant of the draw, as its logits are constant',
        ),
        (_in_python, 'op PyFunc "PyFunc": tf2onnx has no operator for Python'),
        (lambda x: tf.numpy_function(lambda a: a, [x], tf.float32), 'op PyFunc "PyFunc": tf2onnx has no'),
        (_of_tensorflow_1, 'op RandomUniform "RandomUniform": tf2onnx drops its seed'),
    ],
    ids=["a categorical draw", "Python's of constants", "Python's", "a seed in TensorFlow 1"],
)
def test_what_would_be_frozen_or_lose_its_seed(function: Any, message: str) -> None:
    with pytest.raises(ConversionError, match=message):
        export(function, None, [spec(None, 8)])


@pytest.mark.parametrize(
    ("result", "error", "message"),
    [
        (lambda y: {"y": [y]}, InvalidTypeError, "a dict with 'y'"),
        (lambda y: {1: y}, InvalidTypeError, "a dict with 1"),
        (lambda y: {"": y}, InvalidTypeError, "a dict with ''"),
        (lambda y: {"x": y}, InvalidValueError, "an input and an output have the name 'x'.*rename one"),
    ],
    ids=["a list in it", "a number as a name", "no name", "the name of an input"],
)
def test_outputs_in_a_dict(result: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        export(lambda x: result(rrelu(x)), None, [spec(None, 8)])


@pytest.mark.parametrize(
    ("function", "op"),
    [
        (lambda x: rrelu(tf.math.lgamma(x), training=True), "Lgamma"),
        (lambda x: tf.cond(x[0, 0] > 0, lambda: tf.math.lgamma(x), lambda: x), "Lgamma"),
    ],
    ids=["Lgamma", "in a branch"],
)
def test_op_that_tf2onnx_leaves_is_named(function: Any, op: str) -> None:
    with pytest.raises(ConversionError, match=f'tf2onnx has no operator for TensorFlow op {op} "'):
        export(function, None, [spec(4, 8)])


def test_handler_that_fails_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """tf2onnx logs it, and writes a model all the same."""

    def fails(*_: Any, **__: Any) -> None:
        raise KeyError("planted")

    for handlers in tf_op.get_opsets()[""]:
        if "Erf" in (handlers or {}):
            monkeypatch.setitem(handlers, "Erf", (fails, {}))
    with pytest.raises(
        ConversionError, match=r"went on after an error: Failed to convert node 'Erf'.*planted"
    ):
        export(lambda x: tf.math.erf(rrelu(x)), None, [spec(None, 8)])


def test_nothing_is_written_where_the_model_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(b"before")
    with pytest.raises(ConversionError):
        export(_DRAWS["stateless"][0], path, [spec(None, 8)])
    assert path.read_bytes() == b"before" and list(tmp_path.iterdir()) == [path]


# training


@pytest.mark.parametrize(
    "function", [rrelu, tf.nn.relu, tf.nn.leaky_relu], ids=["rrelu", "relu", "leaky_relu"]
)
def test_training_without_a_draw(function: Any) -> None:
    with pytest.raises(
        InvalidValueError, match=r"training=True: the model was traced without a draw.*training=True\)"
    ):
        export(lambda x: function(x), None, [spec(None, 8)], training=True)


def test_training_with_another_draw() -> None:
    """A slope for each channel is no RReLU, and the message says so."""
    with pytest.raises(
        InvalidValueError, match=r"training=True: no rrelu was found; .* draws, and stays: its shape"
    ):
        export(_leaky(lambda x: tf.random.uniform([8], 0.1, 0.3)), None, [spec(None, 8)], training=True)


# arguments


def _train(x: Any) -> Any:
    return rrelu(x, training=True)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"seed": -1}, InvalidValueError, "seed=-1"),
        ({"seed": "1"}, InvalidTypeError, "seed='1'"),
        ({"seed": True}, InvalidTypeError, "seed=True: it must be an integer"),
        ({"training": 1}, InvalidTypeError, "training=1"),
        ({"step_input": "row"}, InvalidValueError, "step_input='row'"),
        ({"portable": 1}, InvalidTypeError, "portable=1"),
        ({"opset_version": 19}, InvalidValueError, "opset_version=19: it must be from 7 to 18"),
        ({"opset_version": "18"}, InvalidTypeError, "opset_version='18'"),
        ({"opset_version": True}, InvalidTypeError, "opset_version=True"),
        ({"opset_version": 15}, InvalidValueError, "opset_version=15: a portable model needs 18"),
        ({"f": 3}, InvalidTypeError, "f=3"),
        ({"f": "nowhere/net.onnx"}, FileNotFoundError, "there is no folder"),
        ({"f": ""}, IsADirectoryError, "an empty path is a folder: name a file"),
        ({"input_signature": []}, InvalidValueError, r"has 0 items, and the function takes \(x"),
        ({"input_signature": [spec(8)] * 2}, InvalidValueError, r"has 2 items, and the function takes \(x"),
        (
            {"input_signature": None},
            InvalidValueError,
            "input_signature=None: a function does not tell its inputs",
        ),
        ({"input_signature": spec(None, 8)}, InvalidTypeError, "must be a list with a tf.TensorSpec"),
        ({"input_signature": [(None, 8)]}, InvalidTypeError, "it must be a tf.TensorSpec"),
        ({"input_signature": [tf.TensorSpec(None, name="x")]}, InvalidValueError, "its rank is not known"),
    ],
)
def test_arguments(options: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message.replace("[", r"\[")):
        export(_train, **{"input_signature": [spec(None, 8)], **options})


@pytest.mark.parametrize("model", [3, None, keras.Model, RReLU], ids=str)
def test_not_a_model(model: Any) -> None:
    with pytest.raises(InvalidTypeError, match=r"model_or_function=.*it must be a Keras model"):
        export(model, None, [spec(None, 8)])


def test_keras_model_that_does_not_know_its_inputs() -> None:
    with pytest.raises(InvalidValueError, match="the model does not know its inputs"):
        export(keras.Sequential([RReLU()]))


def test_signature_beside_inputs_of_its_own() -> None:
    traced = tf.function(_train).get_concrete_function(spec(None, 8))
    with pytest.raises(InvalidValueError, match="have their inputs already, so it must be None"):
        export(traced, None, [spec(None, 8)])


@pytest.mark.parametrize("traced", [True, False])
def test_function_with_a_signature_of_unknown_rank(traced: bool) -> None:
    function = tf.function(_train, input_signature=[tf.TensorSpec(None, name="x")])
    with pytest.raises(InvalidValueError, match="its rank is not known"):
        export(function.get_concrete_function() if traced else function)


@pytest.mark.parametrize(
    "signature", [[spec(None, 8), spec(None, 8)], [{"a": spec(8), "b": spec(8)}]], ids=["a list", "a dict"]
)
def test_two_inputs_of_one_name(signature: list[Any]) -> None:
    with pytest.raises(InvalidValueError, match="has two inputs of the name 'x': rename one"):
        export(lambda *xs: rrelu(tf.nest.flatten(xs)[0]), None, signature)


@pytest.mark.parametrize("signature", [[], [spec(None, 8)] * 2, [[spec(None, 8)]], [{"x": spec(None, 8)}]])
def test_signature_that_is_not_that_of_a_keras_model(signature: list[Any]) -> None:
    net = keras.Sequential([keras.Input([8], name="only"), RReLU()])
    with pytest.raises(InvalidValueError, match=r"a tf\.TensorSpec for each input of the model.*: only"):
        export(net, None, signature)


@pytest.mark.parametrize(("result", "message"), [("text", "the text 'text'"), (None, "no tensor")])
def test_function_that_returns_no_tensor(result: Any, message: str) -> None:
    with pytest.raises(InvalidTypeError, match=f"model_or_function returns {message}"):
        export(lambda x: result if result is None else (rrelu(x), result), None, [spec(None, 8)])


def test_function_that_xla_compiles() -> None:
    with pytest.raises(ConversionError, match="jit_compile=True: trace the model without that"):
        export(lambda x: tf.function(_train, jit_compile=True)(x), None, [spec(None, 8)])


@pytest.mark.parametrize("package", ["tensorflow", "tf2onnx", "onnxscript"])
def test_package_that_is_missing(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("ort_rrelu.tensorflow")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(
        MissingPackageError, match=rf"{package} is not installed: pip install 'ort-rrelu\[tensorflow\]'"
    ):
        importlib.import_module("ort_rrelu.tensorflow")


def test_importing_the_package_imports_none_of_them() -> None:
    code = "import sys, ort_rrelu; assert not {'tensorflow', 'keras', 'tf2onnx'} & sys.modules.keys()"
    subprocess.run([sys.executable, "-c", code], check=True)


# SavedModels


def _saved(folder: Path, signatures: Any = None) -> Path:
    module = tf.Module()
    module.call = tf.function(_train)
    traced = module.call.get_concrete_function(spec(None, 8))
    tf.saved_model.save(module, folder, signatures=signatures and dict.fromkeys(signatures, traced))
    return folder


def test_saved_model_without_signatures(tmp_path: Path) -> None:
    with pytest.raises(InvalidValueError, match="has no signatures: save it with signatures=, or load it"):
        export(_saved(tmp_path / "net"))


def test_saved_model_with_several_signatures(tmp_path: Path) -> None:
    with pytest.raises(InvalidValueError, match="has the signatures one, two, and none is serving_default"):
        export(_saved(tmp_path / "net", ["two", "one"]))


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="there is no SavedModel"):
        export(tmp_path / "nothing")
    with pytest.raises(InvalidValueError, match="not the folder of a SavedModel"):
        export(tmp_path)
    (tmp_path / "net.keras").write_bytes(b"")
    with pytest.raises(InvalidValueError, match=r"keras\.saving\.load_model"):
        export(tmp_path / "net.keras")
