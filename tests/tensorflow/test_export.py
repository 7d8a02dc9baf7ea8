"""ort_rrelu.tensorflow.export: what it takes, what its arguments do, what it writes."""

from __future__ import annotations

import io
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import onnx
import pytest
import tensorflow as tf

import ort_rrelu
from ort_rrelu.reference import derive_seed
from tests.fusing import ops, values_of, without_library
from tests.onnx_models import Array, session
from tests.tensorflow.networks import LOWER, UPPER, RReLU, rrelu, spec

export = ort_rrelu.tensorflow.export
_X = np.random.default_rng(3).normal(size=(4, 8)).astype(np.float32)


def _twice(x: Any) -> Any:
    return rrelu(rrelu(x, training=True), 0.2, 0.3, training=True)


def _eval(x: Any) -> Any:
    return rrelu(x)


def _built(*layers: Any) -> Any:
    return keras.Sequential([keras.Input([8], name="x"), *layers])


def _slopes(model: onnx.ModelProto, runs: int = 1) -> Array:
    """Those of every element that leaks, for each run."""
    opened, x = session(model), -np.ones((40, 8), np.float32)
    return -np.stack([np.asarray(opened.run(None, {"x": x})[0]) for _ in range(runs)])


# the kinds of models


class Own(keras.Model):
    def __init__(self) -> None:
        super().__init__()
        self.activation = RReLU(mode=True)

    def call(self, x: Any) -> Any:
        return self.activation(x)


class _Module(tf.Module):
    def __call__(self, x: Any) -> Any:
        return rrelu(x, training=True)


def _train(x: Any) -> Any:
    return rrelu(x, training=True)


_WITH_SIGNATURE: dict[str, Callable[[], Any]] = {
    "a function": lambda: _train,
    "a lambda": lambda: lambda x: rrelu(x, training=True),
    "a tf.function": lambda: tf.function(_train),
    "an object": _Module,
    "a layer": lambda: RReLU(mode=True),
    "a Keras model of a class": Own,
    "a Keras model that is not built": lambda: keras.Sequential([RReLU(mode=True)]),
    "a Keras model that is built": lambda: _built(RReLU(mode=True)),
}
_BY_THEMSELVES: dict[str, Callable[[], Any]] = {
    "a Sequential": lambda: _built(RReLU(mode=True)),
    "a tf.function with a signature": lambda: tf.function(_train, input_signature=[spec(None, 8)]),
    "a traced function": lambda: tf.function(_train).get_concrete_function(spec(None, 8)),
    "a traced function with keywords": lambda: tf.function(_train).get_concrete_function(x=spec(None, 8)),
}


@pytest.mark.parametrize("case", [*_WITH_SIGNATURE, *_BY_THEMSELVES])
def test_every_kind_of_model(case: str) -> None:
    model = (_WITH_SIGNATURE | _BY_THEMSELVES)[case]()
    made = export(model, None, [spec(None, 8)] if case in _WITH_SIGNATURE else None)
    onnx.checker.check_model(made, full_check=True)
    assert ops(made) == ["RRelu"]
    (values,) = values_of(made)
    assert values == {
        "lower": pytest.approx(LOWER),
        "upper": pytest.approx(UPPER),
        "training": 1,
        "seed": -1,
    }
    assert [value.name for value in made.graph.input] == ["x"]
    slopes = _slopes(made)
    assert LOWER <= slopes.min() < 0.15 and 0.31 < slopes.max() <= UPPER


def test_saved_models(tmp_path: Path) -> None:
    module = _Module()
    module.call = tf.function(module.__call__, input_signature=[spec(None, 8)])
    tf.saved_model.save(module, tmp_path / "one", signatures={"serve": module.call})
    both = {"serving_default": module.call, "other": tf.function(_eval).get_concrete_function(spec(None, 8))}
    tf.saved_model.save(module, tmp_path / "two", signatures=both)
    loaded = tf.saved_model.load(str(tmp_path / "two"))
    for source in (tmp_path / "one", str(tmp_path / "two"), loaded, loaded.signatures["serving_default"]):
        made = export(source)
        assert ops(made) == ["RRelu"]
        assert [value.name for value in made.graph.input] == ["x"]
    assert ops(export(loaded.signatures["other"])) == ["LeakyRelu"]
    assert ops(export(loaded.call, None, [spec(None, 8)])) == ["RRelu"]


def test_saved_keras_model(tmp_path: Path) -> None:
    _built(keras.layers.Dense(3), RReLU(mode=True)).export(tmp_path / "net", verbose=False)
    assert "RRelu" in ops(export(tmp_path / "net"))


def test_keras_model_that_returns_an_input() -> None:
    x = keras.Input([8], name="i")
    made = export(keras.Model(x, [x, RReLU()(x)]), seed=1)
    given = np.linspace(-4, 4, 16, dtype=np.float32).reshape(2, 8)
    first, second = session(made).run(None, {"i": given})
    np.testing.assert_array_equal(first, given)
    np.testing.assert_allclose(second, rrelu(given), rtol=1e-6)


def test_several_inputs_and_outputs_keep_names_and_order() -> None:
    left, right = keras.Input([8], name="z_left"), keras.Input([8], name="a_right")
    first, second = (
        keras.layers.Activation(rrelu, name="z_first"),
        keras.layers.Activation(rrelu, name="a_second"),
    )
    net = keras.Model([left, right], [first(left), second(right * 2)])
    made = export(net)
    assert [value.name for value in made.graph.input] == ["z_left", "a_right"]
    assert [value.name for value in made.graph.output] == ["z_first", "a_second"]
    for found, expected in zip(without_library(made, _X, _X + 1), net([_X, _X + 1]), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_inputs_and_outputs_in_a_dict() -> None:
    left, right = keras.Input([8], name="z_left"), keras.Input([8], name="a_right")
    first, second = keras.layers.Activation(rrelu)(left - 3 * right), left + right
    net = keras.Model({"z_left": left, "a_right": right}, {"z": first, "a": second})
    fed = {"z_left": _X, "a_right": _X + 1}
    expected = net(fed)
    for name, found in zip("za", session(export(net)).run(["z", "a"], fed), strict=True):
        np.testing.assert_allclose(found, expected[name], rtol=1e-6)


def test_signature_of_a_traced_function_with_several_keywords() -> None:
    traced = tf.function(lambda z, a: {"y": rrelu(z) - a, "b": a}).get_concrete_function(
        z=spec(None, 8, name="z"), a=spec(None, 8, name="a")
    )
    found = session(export(traced)).run(["y", "b"], {"z": _X, "a": _X + 1})
    np.testing.assert_allclose(found[0], rrelu(_X) - (_X + 1), rtol=1e-6)
    np.testing.assert_array_equal(found[1], _X + 1)


def test_numbers_that_a_function_captures() -> None:
    weights = tf.constant(np.random.default_rng(0).normal(size=(8, 8)), tf.float32)
    made = export(lambda x: rrelu(x @ weights), None, [spec(None, 8)])
    assert [value.name for value in made.graph.input] == ["x"]
    np.testing.assert_allclose(without_library(made, _X)[0], rrelu(_X @ weights), rtol=1e-5, atol=1e-6)


# arguments


def test_seeds() -> None:
    plain = export(_twice, None, [spec(None, 8)])
    assert [values["seed"] for values in values_of(plain)] == [-1, -2]
    seeded = export(_twice, None, [spec(None, 8)], seed=7)
    assert [values["seed"] for values in values_of(seeded)] == [derive_seed(7, 0), derive_seed(7, 1)]
    np.testing.assert_array_equal(_slopes(seeded, 3), _slopes(seeded, 3))
    assert (_slopes(plain) != _slopes(plain)).any()


def test_seed_of_the_process_is_none_of_a_draw() -> None:
    tf.random.set_seed(3)
    try:
        for model in (_twice, tf.function(_twice), _built(RReLU(mode=True), RReLU(mode=True))):
            made = export(model, None, [spec(None, 8)], seed=7)
            assert [values["seed"] for values in values_of(made)] == [derive_seed(7, 0), derive_seed(7, 1)]
        assert tf.compat.v1.get_seed(0)[0] == 3
    finally:
        tf.random.set_seed(None)


def test_layer_for_every_backend_of_keras_exports_in_eval_mode() -> None:
    class Portable(keras.layers.Layer):
        def call(self, x: Any) -> Any:
            return keras.ops.where(x >= 0, x, x * ((LOWER + UPPER) / 2))

    made = export(_built(Portable()))
    assert ops(made) == ["LeakyRelu"]
    np.testing.assert_array_equal(without_library(made, _X)[0], rrelu(_X))


def test_inputs_without_a_name_get_that_of_the_argument() -> None:
    unnamed = [tf.TensorSpec([None, 8]), tf.TensorSpec([None, 8], name="own")]
    made = export(lambda left, right: rrelu(left + right), None, unnamed)
    assert [value.name for value in made.graph.input] == ["left", "own"]
    assert [value.name for value in export(Own(), None, unnamed[:1]).graph.input] == ["x"]


def test_inputs_in_a_dict_get_their_keys_as_names() -> None:
    unnamed = {"left": tf.TensorSpec([None, 8]), "right": tf.TensorSpec([None, 8])}
    made = export(lambda both: rrelu(both["left"] + both["right"]), None, [unnamed])
    assert [value.name for value in made.graph.input] == ["left", "right"]


class _Decorated(tf.Module):
    @tf.function
    def call(self, x: Any) -> Any:
        return rrelu(x, training=True)


def test_method_that_is_a_tf_function() -> None:
    assert ops(export(_Decorated().call, None, [spec(None, 8)])) == ["RRelu"]


def test_own_seed_goes_first() -> None:
    def both(x: Any) -> Any:
        return rrelu(rrelu(x, training=True, seed=5), training=True)

    made = export(both, None, [spec(None, 8)], seed=7)
    assert [values["seed"] for values in values_of(made)] == [5, derive_seed(7, 1)]


def test_training_sets_rrelu_nodes() -> None:
    made = export(_twice, None, [spec(None, 8)], training=False)
    assert [values["training"] for values in values_of(made)] == [0, 0]
    (y,) = session(made).run(None, {"x": _X})
    np.testing.assert_allclose(y, rrelu(rrelu(_X), 0.2, 0.3), rtol=1e-6)
    assert [
        values["training"] for values in values_of(export(_twice, None, [spec(None, 8)], training=True))
    ] == [1, 1]


def test_training_leaves_other_layers_alone() -> None:
    net = _built(keras.layers.BatchNormalization(), keras.layers.Dropout(0.5), RReLU(mode=True))
    made = export(net, training=True)
    assert ops(made).count("RRelu") == 1
    x = np.abs(_X)
    np.testing.assert_allclose(session(made).run(None, {"x": x})[0], net(x), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("step_input", [True, "rows"])
def test_step_input(step_input: Any) -> None:
    made = export(_twice, None, [spec(None, 8)], seed=1, step_input=step_input)
    assert [value.name for value in made.graph.input] == ["x", "step"]
    steps = np.array(3) if step_input is True else np.array([3, 1, 4, 1])
    opened = session(made)
    together = opened.run(None, {"x": _X, "step": steps})[0]
    assert (opened.run(None, {"x": _X, "step": np.asarray(steps + 1)})[0] != together).any()
    np.testing.assert_array_equal(opened.run(None, {"x": _X, "step": steps})[0], together)
    np.testing.assert_array_equal(without_library(made, _X, steps)[0], together)  # it is portable
    if step_input == "rows":
        alone = opened.run(None, {"x": _X[2:3], "step": steps[2:3]})[0]
        np.testing.assert_array_equal(alone, together[2:3])


def test_not_portable() -> None:
    made = export(_twice, None, [spec(None, 8)], seed=1)
    bare = export(_twice, None, [spec(None, 8)], seed=1, portable=False, opset_version=15)
    assert made.functions and not bare.functions
    assert {entry.domain: entry.version for entry in bare.opset_import}[""] == 15
    np.testing.assert_array_equal(_slopes(bare), _slopes(made))


def test_where_the_model_goes(tmp_path: Path) -> None:
    stream, path = io.BytesIO(), tmp_path / "net.onnx"
    for f in (stream, path, str(tmp_path / "other.onnx")):
        made = export(_eval, f, [spec(None, 8)])
        assert ops(made) == ["LeakyRelu"]
    for written in (stream.getvalue(), path.read_bytes(), (tmp_path / "other.onnx").read_bytes()):
        assert ops(onnx.load_model_from_string(written)) == ["LeakyRelu"]
    assert sorted(tmp_path.iterdir()) == [path, tmp_path / "other.onnx"]


def test_eval_mode_has_tensorflow_bits() -> None:
    made = export(_eval, None, [spec(None, 8)])
    x = np.concatenate([_X, np.full((1, 8), np.inf, np.float32), np.full((1, 8), -np.inf, np.float32)])
    np.testing.assert_array_equal(without_library(made, x)[0], rrelu(x))


def test_float64() -> None:
    """In eval mode it stays as tf2onnx wrote it: ONNX Runtime has no LeakyRelu of double."""
    signature, x = [spec(None, 8, dtype=tf.float64)], _X.astype(np.float64)
    made = export(_eval, None, signature)
    assert "LeakyRelu" not in ops(made) and ops(made).count("Add") == 1
    np.testing.assert_allclose(without_library(made, x)[0], rrelu(x), rtol=1e-15)
    assert ops(export(_twice, None, signature)) == ["RRelu", "RRelu"]


# what the log says


def test_model_without_rrelu_stays_and_is_told_of(caplog: pytest.LogCaptureFixture) -> None:
    import tf2onnx

    def relu(x: Any) -> Any:
        return tf.nn.relu(x)

    with caplog.at_level(logging.WARNING, "ort_rrelu"):
        made = export(relu, None, [spec(None, 8)])
    assert "no rrelu was found in the model: it is as tf2onnx wrote it" in caplog.messages
    plain, _ = tf2onnx.convert.from_function(tf.function(relu), input_signature=[spec(None, 8)], opset=18)
    assert ops(made) == ops(plain) == ["Relu"]
    assert not made.functions and made.producer_name == "tf2onnx"


def test_draws_that_stay_are_told_of(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "ort_rrelu"):
        export(lambda x: rrelu(x, training=True) + tf.random.uniform([8]), None, [spec(None, 8)])
    assert any("draws, and is not rrelu" in message for message in caplog.messages)
    assert not any("no rrelu was found" in message for message in caplog.messages)


def test_rrelu_is_told_of(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "ort_rrelu"):
        export(lambda x: rrelu(rrelu(x, training=True)), None, [spec(None, 8)])
    told = " ".join(caplog.messages)
    assert "bounds 0.125 and 0.333333" in told and "constant slope 0.229167, now a LeakyRelu" in told
