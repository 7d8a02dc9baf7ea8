"""One exported model beside the torch network that it came from."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import onnx
import torch
from torch import Tensor, nn

import ort_rrelu
from models.digits.network import Digits, rrelus
from models.digits.train import accuracy
from ort_rrelu.graph.nodes import our_nodes
from ort_rrelu.torch import RReLU

__all__ = ["Comparison", "compare"]

_STEP = 0


@dataclass(frozen=True)
class Comparison:
    """Accuracies from 0 to 1; difference: largest between logits; speeds in images a second."""

    torch_accuracy: float
    onnx_accuracy: float
    difference: float
    equal_nodes: int
    nodes: int
    torch_speed: float
    onnx_speed: float


def _speed(run: Callable[[], object], images: int, repeat: int = 20) -> float:
    times = []
    for _ in range(repeat):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return images / statistics.median(times)


def _torch_logits(network: nn.Module, images: Tensor) -> Tensor:
    """The network's answer, in train mode that of step 0."""
    for module in rrelus(network):
        assert module.step is not None
        module.step.fill_(_STEP)
    with torch.no_grad():
        logits: Tensor = network(images)
    return logits


def _with_node_values(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with input and output of every RRelu node among its outputs."""
    open_model = onnx.ModelProto()
    open_model.CopyFrom(model)
    names = [name for node in our_nodes(model) for name in (node.input[0], node.output[0])]
    open_model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    return open_model


def _equal_nodes(network: nn.Module, model: onnx.ModelProto, feeds: dict[str, np.ndarray]) -> int:
    """How many RRelu nodes give, bit for bit, what the torch module gives for the same input."""
    session = ort_rrelu.InferenceSession(_with_node_values(model).SerializeToString())
    values = session.run(None, feeds)[1:]
    return sum(
        np.array_equal(_module_output(module, x), y)
        for module, x, y in zip(rrelus(network), values[::2], values[1::2], strict=True)
    )


def _module_output(module: RReLU, x: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        y: np.ndarray = module(torch.from_numpy(x), step=_STEP).numpy()
    return y


def compare(network: nn.Module, path: str, data: Digits) -> Comparison:
    """Run the test images through the network, in the mode it is in, and through the model in `path`."""
    session = ort_rrelu.InferenceSession(path)
    feeds = {session.get_inputs()[0].name: data.test_images.numpy()}
    if network.training:
        feeds["step"] = np.array(_STEP)
    expected = _torch_logits(network, data.test_images)
    actual = torch.from_numpy(session.run(None, feeds)[0])
    model = onnx.load(path)
    return Comparison(
        accuracy(expected, data.test_labels),
        accuracy(actual, data.test_labels),
        float((expected - actual).abs().max()),
        _equal_nodes(network, model, feeds),
        len(our_nodes(model)),
        _speed(lambda: _torch_logits(network, data.test_images), len(data.test_labels)),
        _speed(lambda: session.run(None, feeds), len(data.test_labels)),
    )
