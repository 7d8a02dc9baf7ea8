"""Exported models, and what Paddle computes when it draws the slopes of the reference."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import onnx
import paddle
from onnx import helper
from paddle import nn

import ort_rrelu
from ort_rrelu import reference
from ort_rrelu.graph.nodes import our_nodes
from tests.onnx_models import Array
from tests.paddle.constructs import CONSTRUCTS

BASE_SEED = 11

Bounds = tuple[float, float]


@functools.cache
def exported(construct: str, *, training: bool) -> tuple[nn.Layer, onnx.ModelProto]:
    """A construct's layer and its model with BASE_SEED; shared by the tests, so neither must be changed."""
    paddle.seed(3)
    of = CONSTRUCTS[construct]
    layer = of.make()
    layer.train() if training else layer.eval()
    return layer, ort_rrelu.paddle.export(layer, None, of.input_spec, seed=BASE_SEED)


def attributes_of_nodes(model: onnx.ModelProto) -> list[dict[str, Any]]:
    """The attributes that stand on each RRelu node, without any default."""
    return [{a.name: helper.get_attribute_value(a) for a in node.attribute} for node in our_nodes(model)]


def seeds_by_bounds(model: onnx.ModelProto) -> dict[Bounds, int]:
    """The seeds of the train nodes."""
    return {
        (node["lower"], node["upper"]): node["seed"]
        for node in attributes_of_nodes(model)
        if node["training"]
    }


def run(model: onnx.ModelProto, *inputs: Array) -> list[Array]:
    """One run of a fresh session on inputs in the order of the model's."""
    session = ort_rrelu.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"], lower_eval=False
    )
    feeds = dict(zip([value.name for value in session.get_inputs()], inputs, strict=True))
    return [np.asarray(output) for output in session.run(None, feeds)]


def outputs_of(layer: nn.Layer, *inputs: Array) -> list[Array]:
    """What Paddle computes."""
    with paddle.no_grad():
        outputs = layer(*map(paddle.to_tensor, inputs))
    return [y.numpy() for y in (outputs if isinstance(outputs, tuple) else (outputs,))]


@contextmanager
def _drawing(seeds: dict[Bounds, int]) -> Iterator[None]:
    """The reference instead of Paddle's op; the k-th call of an rrelu draws step k, as a node's does."""
    steps: Counter[Bounds] = Counter()
    own = paddle._C_ops.rrelu

    def rrelu(x: Any, lower: float, upper: float, is_test: bool) -> Any:
        bounds = float(np.float32(lower)), float(np.float32(upper))
        step = steps[bounds]
        steps[bounds] += 1
        seed = None if is_test else seeds[bounds]
        return paddle.to_tensor(
            reference.rrelu(x.numpy(), lower, upper, training=not is_test, seed=seed, step=step)
        )

    paddle._C_ops.rrelu = rrelu
    try:
        yield
    finally:
        paddle._C_ops.rrelu = own


def drawn_by_paddle(layer: nn.Layer, seeds: dict[Bounds, int], *inputs: Array) -> list[Array]:
    """What Paddle computes in the first run when its rrelus draw the reference's slopes of their seeds."""
    with _drawing(seeds):
        return outputs_of(layer, *inputs)
