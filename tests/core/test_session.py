"""register and InferenceSession: what they do with session options, seeds and models."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

import ort_rrelu
from ort_rrelu import reference, schema
from tests.bits import assert_same_bits
from tests.known_answers import fnv1a
from tests.onnx_models import Array, make_model, rrelu_model, run, session

_X = -np.ones(64, np.float32)
_LEVELS = onnxruntime.GraphOptimizationLevel.__members__


def _derived(seed: int, output: str) -> Array:
    """The first draw of a train node that takes its seed from the session's."""
    return reference.slopes(_X.size, seed=reference.derive_seed(seed, fnv1a(output)))


def _load(options: onnxruntime.SessionOptions, **attributes: Any) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(rrelu_model(**attributes).SerializeToString(), options)


# register


def test_register_returns_the_options_it_was_given() -> None:
    options = onnxruntime.SessionOptions()
    assert ort_rrelu.register(options) is options
    assert isinstance(ort_rrelu.register(), onnxruntime.SessionOptions)


@pytest.mark.parametrize("seed", [None, 5])
def test_register_again_changes_nothing(seed: int | None) -> None:
    options = ort_rrelu.register(seed=seed)
    for again in (None, seed):
        assert ort_rrelu.register(options, seed=again) is options
    assert _load(options).get_outputs()[0].name == "y"


def test_library_registered_twice_without_python() -> None:
    options = onnxruntime.SessionOptions()
    for _ in range(2):
        options.register_custom_ops_library(ort_rrelu.get_library_path())
    ort_rrelu.register(options)
    assert _load(options).get_outputs()[0].name == "y"


def test_sessions_share_options() -> None:
    options = ort_rrelu.register(seed=5)
    for _ in range(2):
        assert_same_bits(run(_load(options, training=1), _X)[1], _derived(5, "y"))


@pytest.mark.parametrize(("first", "second"), [(5, 6), (None, 5)])
def test_another_seed_needs_other_options(first: int | None, second: int) -> None:
    options = ort_rrelu.register(seed=first)
    with pytest.raises(ort_rrelu.Error, match="another seed needs session options of its own") as caught:
        ort_rrelu.register(options, seed=second)
    assert isinstance(caught.value, ValueError)
    # The failed call left no trace.
    ort_rrelu.register(options, seed=first)


def test_another_seed_is_refused_without_python_too() -> None:
    options = ort_rrelu.register(seed=5)
    options.add_session_config_entry("ort_rrelu.seed", "6")
    with pytest.raises(Exception, match='with seed "5"; "6" needs session options of its own'):
        options.register_custom_ops_library(ort_rrelu.get_library_path())


@pytest.mark.parametrize(
    "text",
    [
        *("-1", "-0", "+5", "", "five", "1.0", "1e3", "0x5", "5_0", "\uff15"),
        " 5",
        "\t5",
        "1 ",
        str(2**63),
        "9" * 400,
    ],
)
def test_bad_seed_entries(text: str) -> None:
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry("ort_rrelu.seed", text)
    expected = f'entry ort_rrelu.seed="{text}": it must be an integer from 0 to 2^63 - 1, in decimal digits'
    with pytest.raises(Exception, match=re.escape(expected)):
        options.register_custom_ops_library(ort_rrelu.get_library_path())


@pytest.mark.parametrize(
    ("seed", "kind", "message"),
    [
        (-1, ValueError, r"^seed=-1: it must be from 0 to 2\^63 - 1$"),
        (2**63, ValueError, r"^seed=9223372036854775808: it must be from 0 to 2\^63 - 1$"),
        (1.5, TypeError, r"^seed=1\.5 is not an integer$"),
        ("5", TypeError, r"^seed='5' is not an integer$"),
    ],
)
def test_bad_seeds(seed: Any, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message) as caught:
        ort_rrelu.register(seed=seed)
    assert isinstance(caught.value, ort_rrelu.Error)


def test_options_of_another_type() -> None:
    with pytest.raises(TypeError, match=r"^session_options is of type dict: it must be an onnxruntime\."):
        ort_rrelu.register({})


# seeds


@pytest.mark.parametrize("seed", [0, 5, 2**63 - 1])
@pytest.mark.parametrize("output", ["y", "/block/act/RRelu_output_0", "größe"])
def test_session_seed_and_first_output_make_the_seed_of_a_node(seed: int, output: str) -> None:
    model = rrelu_model(outputs=[output], training=1, name="any")
    assert_same_bits(run(session(model, seed=seed), _X)[0], -_derived(seed, output))


def test_nodes_get_different_seeds() -> None:
    info = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in "xab"]
    nodes = [helper.make_node(schema.RRELU, ["x"], [o], domain=schema.DOMAIN, training=1) for o in "ab"]
    a, b = run(session(make_model(nodes, info[:1], info[1:]), seed=5), _X)
    assert_same_bits(a, -_derived(5, "a"))
    assert_same_bits(b, -_derived(5, "b"))


@pytest.mark.parametrize("level", _LEVELS.values(), ids=_LEVELS)
def test_graph_optimization_changes_no_seed(level: onnxruntime.GraphOptimizationLevel) -> None:
    info = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n"]) for name in "xy"]
    nodes = [
        helper.make_node("Identity", ["x"], ["a"]),
        helper.make_node(schema.RRELU, ["a"], ["b"], domain=schema.DOMAIN, training=1),
        helper.make_node("Dropout", ["b"], ["c"]),
        helper.make_node("Neg", ["c"], ["y"]),
    ]
    chain = session(make_model(nodes, info[:1], info[1:]), seed=5, optimization=level)
    assert_same_bits(run(chain, _X)[0], _derived(5, "b"))


def test_a_node_keeps_its_own_seed() -> None:
    node = session(rrelu_model(training=1, seed=42), seed=5)
    assert_same_bits(run(node, _X)[1], reference.slopes(_X.size, seed=42))


def test_seed_of_the_options_reaches_inference_session() -> None:
    options = ort_rrelu.register(seed=5)
    node = ort_rrelu.InferenceSession(rrelu_model(training=1).SerializeToString(), options)
    assert_same_bits(run(node, _X)[1], _derived(5, "y"))


@pytest.mark.parametrize("text", ["5", "0005"])
def test_seed_entries(text: str) -> None:
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry("ort_rrelu.seed", text)
    assert_same_bits(run(_load(ort_rrelu.register(options), training=1), _X)[1], _derived(5, "y"))


# InferenceSession


def test_inference_session_takes_a_seed() -> None:
    model = rrelu_model(training=1).SerializeToString()
    (y,) = run(ort_rrelu.InferenceSession(model, seed=1), _X)[:1]
    assert_same_bits(-y, _derived(1, "y"))


@pytest.mark.parametrize("form", ["path", "text", "bytes"])
def test_inference_session_takes(form: str, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    model = rrelu_model()
    onnx.save(model, path)
    source: Any = {"path": path, "text": str(path), "bytes": model.SerializeToString()}[form]
    node = ort_rrelu.InferenceSession(source, providers=["CPUExecutionProvider"])
    assert isinstance(node, onnxruntime.InferenceSession)
    assert_same_bits(run(node, _X)[0], reference.rrelu(_X))


def test_inference_session_takes_weights_beside_the_model(tmp_path: Path) -> None:
    info = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [64]) for name in "xy"]
    nodes = [
        helper.make_node("Add", ["x", "w"], ["a"]),
        helper.make_node(schema.RRELU, ["a"], ["y"], domain=schema.DOMAIN),
    ]
    model = make_model(nodes, info[:1], info[1:])
    weights = np.linspace(-1, 3, 64, dtype=np.float32)
    model.graph.initializer.append(onnx.numpy_helper.from_array(weights, "w"))
    path = tmp_path / "model.onnx"
    onnx.save(model, path, save_as_external_data=True, size_threshold=0)
    (y,) = run(ort_rrelu.InferenceSession(path), _X)
    assert_same_bits(y, reference.rrelu(_X + weights))


@pytest.mark.parametrize("name", ["model.ort", "model.onnx"])
def test_inference_session_takes_the_format_of_onnx_runtime(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    writing, reading = onnxruntime.SessionOptions(), onnxruntime.SessionOptions()
    writing.optimized_model_filepath = str(path)
    writing.graph_optimization_level = _LEVELS["ORT_ENABLE_BASIC"]  # no warning that it is for this machine
    writing.add_session_config_entry("session.save_model_format", "ORT")
    reading.add_session_config_entry("session.load_model_format", "ORT")
    ort_rrelu.InferenceSession(rrelu_model().SerializeToString(), writing)
    for source in (path, path.read_bytes()):
        assert_same_bits(run(ort_rrelu.InferenceSession(source, reading), _X)[0], reference.rrelu(_X))


def test_message_of_a_missing_library_names_the_package() -> None:
    with pytest.raises(Exception, match=r"ort_rrelu:RRelu"):
        onnxruntime.InferenceSession(rrelu_model().SerializeToString())
