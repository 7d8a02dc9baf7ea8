"""What tf2onnx's files of RReLU cost, and ours: a network of four convolutions in ONNX Runtime.

    python -m tests.tensorflow.speed      # milliseconds of one run, and how each compares with LeakyRelu

Best of runs that take turns.
"""

from __future__ import annotations

import functools
import tempfile
import time
from collections import Counter
from typing import Any

import keras
import numpy as np
import onnx
import onnxruntime
import tensorflow as tf
import tf2onnx

import ort_rrelu
from tests.fusing import ops
from tests.onnx_models import Array
from tests.tensorflow.networks import LOWER, UPPER, RReLU, convolutions

_BATCH, _SIZE, _ROUNDS = 8, 64, 200
_LEAKY, _PLAIN = "LeakyRelu", "tf2onnx"


def as_tf2onnx_writes(net: Any) -> onnx.ModelProto:
    """A Keras model of one input, without this package."""
    (x,) = net.inputs
    signature = [tf.TensorSpec(x.shape, x.dtype, name=x.name)]
    call = tf.function(lambda x: net(x))
    model: onnx.ModelProto = tf2onnx.convert.from_function(call, input_signature=signature, opset=18)[0]
    return model


def _models() -> dict[str, onnx.ModelProto]:
    export = ort_rrelu.tensorflow.export
    models = {_LEAKY: as_tf2onnx_writes(convolutions(lambda: keras.layers.LeakyReLU((LOWER + UPPER) / 2)))}
    for name, mode in {"eval": False, "train": True}.items():
        net = convolutions(functools.partial(RReLU, mode=mode))
        models |= {f"{_PLAIN}, {name}": as_tf2onnx_writes(net), f"export, {name}": export(net)}
    return models


def as_onnx_runtime_runs(model: onnx.ModelProto) -> Counter[str]:
    """The operators after its optimizations."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    with tempfile.TemporaryDirectory() as folder:
        options.optimized_model_filepath = f"{folder}/optimized.onnx"
        _session(model, options)
        return Counter(ops(onnx.load(options.optimized_model_filepath)))


def _session(model: onnx.ModelProto, options: onnxruntime.SessionOptions) -> Any:
    return ort_rrelu.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def _milliseconds(session: Any, x: Array) -> float:
    begin = time.perf_counter()
    session.run(None, {"x": x})
    return (time.perf_counter() - begin) * 1e3


def main() -> None:
    """Print a line for each model."""
    models = _models()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    sessions = {name: _session(model, options) for name, model in models.items()}
    x = np.random.default_rng(0).normal(size=(_BATCH, _SIZE, _SIZE, 3)).astype(np.float32)
    best = dict.fromkeys(sessions, float("inf"))
    for _ in range(_ROUNDS):
        for name, session in sessions.items():
            best[name] = min(best[name], _milliseconds(session, x))
    print(f"{'model':16} {'ms':>7} {'speed':>6}  Transposes")
    for name, taken in best.items():
        transposes = as_onnx_runtime_runs(models[name])["Transpose"]
        print(f"{name:16} {taken:7.2f} {best[_LEAKY] / taken:6.2f}  {transposes}")


if __name__ == "__main__":
    main()
