"""Small networks to train, and their artifacts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.training import artifacts

from ort_rrelu import schema
from ort_rrelu.training import generate_artifacts

FEATURES, HIDDEN, CLASSES = 4, 5, 3
_OPSET, _IR_VERSION = 17, 8


def rrelu(x: str, y: str, *more_outputs: str, step: str | None = None, **attributes: Any) -> onnx.NodeProto:
    """An RRelu node, in train mode with a seed unless it is told otherwise."""
    values = {"lower": schema.LOWER, "upper": schema.UPPER, "training": 1, "seed": 7} | attributes
    inputs = [x] if step is None else [x, step]
    return helper.make_node(schema.RRELU, inputs, [y, *more_outputs], domain=schema.DOMAIN, **values)


def model_of(
    nodes: Sequence[onnx.NodeProto],
    weights: dict[str, np.ndarray],
    x_shape: Sequence[int | str | None] | None = ("batch", FEATURES),
    *,
    step: bool = False,
    opset: int = _OPSET,
) -> onnx.ModelProto:
    """x [, step] -> nodes -> logits."""
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, x_shape)]
    if step:
        inputs.append(helper.make_tensor_value_info("step", TensorProto.INT64, []))
    output = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", CLASSES])
    tensors = [numpy_helper.from_array(value, name) for name, value in weights.items()]
    graph = helper.make_graph(nodes, "network", inputs, [output], tensors)
    imports = [helper.make_opsetid("", opset), schema.opset_import()]
    return helper.make_model(graph, opset_imports=imports, ir_version=_IR_VERSION)


def _normal(*shape: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def linear(
    *,
    step: bool = False,
    dtype: int = TensorProto.FLOAT,
    hidden: int = HIDDEN,
    noise: str | None = None,
    **attributes: Any,
) -> onnx.ModelProto:
    """Linear, RRelu in `dtype`, Linear; weights w0, b0, w1, b1 in float; noise: a name, or not an output."""
    weights = {
        "w0": _normal(FEATURES, hidden, seed=0),
        "b0": _normal(hidden, seed=1),
        "w1": _normal(hidden, CLASSES, seed=2),
        "b1": _normal(CLASSES, seed=3),
    }
    nodes = [
        helper.make_node("Gemm", ["x", "w0", "b0"], ["h"]),
        helper.make_node("Cast", ["h"], ["h_cast"], to=dtype),
        rrelu("h_cast", "a_cast", *([noise] if noise else []), step="step" if step else None, **attributes),
        helper.make_node("Cast", ["a_cast"], ["a"], to=TensorProto.FLOAT),
        helper.make_node("Gemm", ["a", "w1", "b1"], ["logits"]),
    ]
    return model_of(nodes, weights, step=step)


def convolutional(
    pooling: str, *, first: bool, image: Sequence[int | str | None] = ("batch", 1, 6, 6)
) -> onnx.ModelProto:
    """Conv, then a pooling (or another op of one input) before or after RRelu, then a mean and Linear."""
    attributes: dict[str, Any] = (
        {"kernel_shape": [2, 2], "strides": [2, 2]} if pooling.endswith("Pool") else {}
    )
    if pooling.startswith("Global"):
        attributes = {}
    weights = {"w0": _normal(4, 1, 3, 3, seed=0), "w1": _normal(4, CLASSES, seed=1)}
    more: list[str] = []
    if pooling == "BatchNormalization":
        more = ["scale", "shift", "mean", "variance"]
        weights |= {name: np.full(4, name in {"scale", "variance"}, np.float32) for name in more}
    source, pooled = ("conv", "pooled") if first else ("active", "end")
    pool = helper.make_node(pooling, [source, *more], [pooled], **attributes)
    active = rrelu("pooled", "end") if first else rrelu("conv", "active")
    nodes = [
        helper.make_node("Conv", ["x", "w0"], ["conv"], kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        *([pool, active] if first else [active, pool]),
        helper.make_node("GlobalAveragePool", ["end"], ["mean_of_end"]),
        helper.make_node("Flatten", ["mean_of_end"], ["flat"]),
        helper.make_node("MatMul", ["flat", "w1"], ["logits"]),
    ]
    return model_of(nodes, weights, image)


def batch(
    seed: int = 5, size: int = 6, shape: tuple[int, ...] = (FEATURES,)
) -> tuple[np.ndarray, np.ndarray]:
    """x and labels."""
    labels = np.random.default_rng(seed).integers(0, CLASSES, size)
    return _normal(size, *shape, seed=seed), labels


def make_artifacts(model: onnx.ModelProto, folder: Path, /, **options: Any) -> Path:
    """With all float weights trained by AdamW on cross entropy, unless options say otherwise; the folder."""
    arguments = {
        "model": model,
        "requires_grad": [tensor.name for tensor in model.graph.initializer],
        "loss": artifacts.LossType.CrossEntropyLoss,
        "optimizer": artifacts.OptimType.AdamW,
        "artifact_directory": folder,
    } | options
    generate_artifacts(**arguments)
    return folder
