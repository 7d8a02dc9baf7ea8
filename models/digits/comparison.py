"""One exported model beside the network that it came from, whatever framework that is in."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import onnx

import ort_rrelu
from models.digits.dataset import Digits
from ort_rrelu.arguments import Array
from ort_rrelu.graph.nodes import our_nodes

STEP = 0


@dataclass(frozen=True)
class Network:
    """A trained network in the mode it is in.

    logits: images -> logits; in train mode those of step STEP.
    rrelus: for each RReLU layer, in order, x -> y; in train mode that of step STEP.
    """

    training: bool
    logits: Callable[[Array], Array]
    rrelus: Sequence[Callable[[Array], Array]]


@dataclass(frozen=True)
class Comparison:
    """Accuracies from 0 to 1; difference: largest between logits; speeds in images a second."""

    framework_accuracy: float
    onnx_accuracy: float
    difference: float
    equal_nodes: int
    nodes: int
    framework_speed: float
    onnx_speed: float


def _accuracy(logits: Array, labels: Array) -> float:
    return float((logits.argmax(1) == labels).mean())


def _speed(run: Callable[[], object], images: int, repeat: int = 20) -> float:
    times = []
    for _ in range(repeat):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return images / statistics.median(times)


def _with_node_values(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with input and output of every RRelu node among its outputs."""
    open_model = onnx.ModelProto()
    open_model.CopyFrom(model)
    names = [name for node in our_nodes(model) for name in (node.input[0], node.output[0])]
    open_model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    return open_model


def _equal_nodes(network: Network, model: onnx.ModelProto, feeds: dict[str, Array]) -> int:
    """How many RRelu nodes give, bit for bit, what the network's layer gives for the same input."""
    session = ort_rrelu.InferenceSession(_with_node_values(model).SerializeToString(), lower_eval=False)
    values = session.run(None, feeds)[1:]
    return sum(
        np.array_equal(layer(x), y)
        for layer, x, y in zip(network.rrelus, values[::2], values[1::2], strict=True)
    )


def compare(network: Network, path: str, data: Digits) -> Comparison:
    """Run the test images through the network and through the model in `path`."""
    session = ort_rrelu.InferenceSession(path)
    feeds: dict[str, Array] = {session.get_inputs()[0].name: data.test_images}
    if network.training:
        feeds["step"] = np.array(STEP)
    expected = network.logits(data.test_images)
    actual: Array = session.run(None, feeds)[0]
    model = onnx.load(path)
    return Comparison(
        _accuracy(expected, data.test_labels),
        _accuracy(actual, data.test_labels),
        float(abs(expected - actual).max()),
        _equal_nodes(network, model, feeds),
        len(our_nodes(model)),
        _speed(lambda: network.logits(data.test_images), len(data.test_labels)),
        _speed(lambda: session.run(None, feeds), len(data.test_labels)),
    )
