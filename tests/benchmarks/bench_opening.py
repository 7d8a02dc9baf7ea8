"""What surrounds the kernels: sessions that are opened, a graph's constant part, a small NumPy array."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper, numpy_helper

import ort_rrelu
from ort_rrelu import schema
from tests.onnx_models import FLOAT, make_model

_PROVIDERS = ["CPUExecutionProvider"]
_WIDTH, _LAYERS = 2048, 8  # 128 MiB

Open = Callable[[Any], Any]


def _measured(benchmark: Any, name: str, mode: str, run: Callable[[], object]) -> None:
    benchmark.extra_info |= {"network": name, "mode": mode, "threads": 1}
    run()
    benchmark(run)


def _by_hand(source: Any) -> Any:
    options = onnxruntime.SessionOptions()
    options.register_custom_ops_library(ort_rrelu.get_library_path())
    return onnxruntime.InferenceSession(source, options, _PROVIDERS)


def _stock(source: Any) -> Any:
    return onnxruntime.InferenceSession(source, providers=_PROVIDERS)


def _ours(source: Any) -> Any:
    return ort_rrelu.InferenceSession(source, providers=_PROVIDERS)


_ONE_NODE: Mapping[str, Open] = {"ours": _ours, "by hand": _by_hand}


def _rrelu(x: str, y: str, mode: str) -> onnx.NodeProto:
    training = int(mode == "train")
    return helper.make_node(schema.RRELU, [x], [y], domain=schema.DOMAIN, training=training, seed=1)


def _model(nodes: list[onnx.NodeProto], width: int | str, weights: Mapping[str, Any]) -> onnx.ModelProto:
    values = [helper.make_tensor_value_info(name, FLOAT, ["n", width]) for name in "xy"]
    model = make_model(nodes, values[:1], values[1:])
    model.graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in weights.items())
    return model


@pytest.mark.parametrize("mode", ["train", "eval"])
@pytest.mark.parametrize("name", _ONE_NODE)
def bench_one_node_session(benchmark: Any, name: str, mode: str) -> None:
    model = _model([_rrelu("x", "y", mode)], "m", {}).SerializeToString()
    _measured(benchmark, name, f"one-node session, {mode}", lambda: _ONE_NODE[name](model))


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models of 128 MiB: our nodes in both modes, and LeakyRelu instead."""
    folder = tmp_path_factory.mktemp("large")
    random = np.random.default_rng(0)
    weights = {f"w{i}": random.normal(size=(_WIDTH, _WIDTH)).astype(np.float32) for i in range(_LAYERS)}
    for mode in ("train", "eval"):
        nodes = []
        for i in range(_LAYERS):
            y = "y" if i == _LAYERS - 1 else f"r{i}"
            nodes += [helper.make_node("MatMul", [f"r{i - 1}" if i else "x", f"w{i}"], [f"m{i}"])]
            nodes += [_rrelu(f"m{i}", y, mode)]
        model = _model(nodes, _WIDTH, weights)
        onnx.save(model, folder / f"{mode}.onnx")
    onnx.save(ort_rrelu.graph.lower(model), folder / "stock.onnx")
    return folder


@pytest.mark.parametrize("name", ["train", "eval", "stock"])
def bench_large_session(benchmark: Any, name: str, large: Path) -> None:
    path = str(large / f"{name}.onnx")
    opened = _stock if name == "stock" else _ours
    _measured(benchmark, name, "session of 128 MiB", lambda: opened(path))


@pytest.mark.parametrize("name", ["ours", "kernel", "LeakyRelu"])
def bench_constant_part(benchmark: Any, name: str) -> None:
    """One that is as large as a small network's weights, for an input of one element."""
    weights = {"w": np.random.default_rng(0).normal(size=(1024, 1024)).astype(np.float32)}
    activation = _rrelu("w", "r", "eval")
    if name == "LeakyRelu":
        activation = helper.make_node("LeakyRelu", ["w"], ["r"], alpha=11 / 48)
    nodes = [
        activation,
        helper.make_node("ReduceMean", ["r"], ["c"], keepdims=0),
        helper.make_node("Add", ["x", "c"], ["y"]),
    ]
    model = _model(nodes, "m", weights).SerializeToString()
    session = ort_rrelu.InferenceSession(model, providers=_PROVIDERS, lower_eval=name != "kernel")
    feed = {"x": np.ones((1, 1), np.float32)}
    _measured(benchmark, name, "constant part", lambda: session.run(None, feed))


@pytest.mark.parametrize("mode", ["train", "eval"])
def bench_numpy(benchmark: Any, mode: str) -> None:
    x, training = np.random.default_rng(0).normal(size=1000).astype(np.float32), mode == "train"
    _measured(benchmark, "NumPy", mode, lambda: ort_rrelu.rrelu(x, training=training))
