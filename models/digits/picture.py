"""The picture of what the operator does, drawn from ONNX Runtime's own output."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import numpy as np
import onnx
from onnx import TensorProto, helper

import ort_rrelu
from ort_rrelu import schema

mpl.use("Agg")
from matplotlib import pyplot as plt


def _run(x: np.ndarray, *, training: bool) -> np.ndarray:
    node = helper.make_node(
        schema.RRELU,
        ["x"],
        ["y"],
        domain=schema.DOMAIN,
        lower=schema.LOWER,
        upper=schema.UPPER,
        training=int(training),
        seed=2015,
    )
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n"]) for name in "xy"]
    graph = helper.make_graph([node], "rrelu", values[:1], values[1:])
    opsets = [helper.make_opsetid("", 17), schema.opset_import()]
    model: onnx.ModelProto = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    y: np.ndarray = ort_rrelu.InferenceSession(model.SerializeToString()).run(None, {"x": x})[0]
    return y


def draw(path: Path) -> None:
    """Draw the train-mode cloud between the two slopes and the eval line into a PNG."""
    x = np.linspace(-4, 2, 1200, dtype=np.float32)
    figure, axes = plt.subplots(figsize=(6.4, 4), layout="constrained")
    axes.axhline(0, color="0.8", linewidth=0.8)
    axes.axvline(0, color="0.8", linewidth=0.8)
    negative = x[x <= 0]
    for bound, name, above in ((schema.LOWER, "lower = 1/8", 12), (schema.UPPER, "upper = 1/3", -18)):
        axes.plot(negative, bound * negative, "--", color="0.45", linewidth=1)
        axes.annotate(name, (-4, -4 * bound), xytext=(5, above), textcoords="offset points", fontsize=9)
    axes.scatter(
        x, _run(x, training=True), s=4, alpha=0.6, color="tab:orange", label="training=1: a slope each"
    )
    axes.plot(x, _run(x, training=False), color="tab:blue", label="training=0: the mean slope")
    axes.set(
        xlabel="x",
        ylabel="RReLU(x)",
        title="ort_rrelu::RRelu, run in ONNX Runtime",
        xlim=(-4, 2),
        ylim=(-1.7, 2.2),
    )
    axes.legend(loc="upper left")
    figure.savefig(path, dpi=110)
    plt.close(figure)
