"""Step models with a step for each sample, and what their nodes draw."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import onnx
import torch
from onnx import helper
from torch import Tensor, nn
from torch.nn import functional

import ort_rrelu
from ort_rrelu import reference
from ort_rrelu.arguments import Array
from ort_rrelu.graph.check import attributes, may_train
from ort_rrelu.graph.nodes import graph_nodes, is_rrelu
from ort_rrelu.torch import RReLU
from ort_rrelu.training import export_step
from ort_rrelu.training.step_model import SAMPLE_STEPS, STEP, X, Y


def export_rows(module: nn.Module, example_batch: tuple[Tensor, Tensor], **options: Any) -> onnx.ModelProto:
    """With cross entropy."""
    return export_step(module, functional.cross_entropy, example_batch, step_input="rows", **options)


def mixed() -> nn.Sequential:
    """RReLUs of both kinds, dropout, and a BatchNorm, through which samples see each other."""
    torch.manual_seed(0)
    return nn.Sequential(
        *(nn.Linear(8, 16), nn.BatchNorm1d(16), RReLU(0.1, 1.5, seed=5), nn.Dropout(0.3)),
        *(nn.Linear(16, 16), nn.RReLU(), nn.Linear(16, 3)),
    )


@functools.cache
def sample_step(by_sample: bool = True) -> onnx.ModelProto:
    """A step of `mixed`, with a step for each sample or for the whole batch."""
    x, y = map(torch.from_numpy, batch_of(4))
    export = export_rows if by_sample else functools.partial(export_step, loss_fn=functional.cross_entropy)
    return export(mixed(), example_batch=(x, y), optimizer="adamw", seed=9)


def batch_of(rows: int, seed: int = 0) -> tuple[Array, Array]:
    """x of 8 numbers and y, the largest of three."""
    x = np.random.default_rng(seed).normal(size=(rows, 8)).astype(np.float32)
    return x, x[:, :3].argmax(1)


def drawn(step: onnx.ModelProto, x: Array, y: Array, numbers: Array) -> list[tuple[onnx.NodeProto, Array]]:
    """Every train node of the graph and its noise, in their order, when it runs with these steps."""
    shown = onnx.ModelProto()
    shown.CopyFrom(step)
    del shown.graph.output[:]
    nodes = [node for node in graph_nodes(shown.graph) if is_rrelu(node) and may_train(node)]
    for at, node in enumerate(nodes):
        y_name, noise, *reserve = [*node.output, ""][: max(len(node.output), 2)]
        node.output[:] = [y_name, noise or f"noise_{at}", *reserve]
        shown.graph.output.append(helper.make_empty_tensor_value_info(node.output[1]))
    session = ort_rrelu.InferenceSession(shown.SerializeToString(), providers=["CPUExecutionProvider"])
    feeds = {X: x, Y: y, STEP: np.array(0), SAMPLE_STEPS: numbers}
    return list(zip(nodes, session.run(None, feeds), strict=True))


def slopes(node: onnx.NodeProto, shape: tuple[int, ...], numbers: Array, dtype: Any) -> Array:
    """The specification's noise of such a node where all of X is negative."""
    a = attributes(node)
    noise: Array = reference.rrelu(
        np.full(shape, -1, dtype),
        a["lower"],
        a["upper"],
        True,
        seed=a["seed"],
        step=numbers,
        return_noise=True,
    )[1]
    return noise
