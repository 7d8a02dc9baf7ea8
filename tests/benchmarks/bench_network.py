"""A whole network: with our node, that lowered, and as torch's TorchScript exporter writes it without us."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from torch import nn

import ort_rrelu
from models.digits.exports import exporters_advice_hidden
from tests.benchmarks.contenders import ALL_THREADS

_BATCH = 64


def _network(activation: type[nn.Module]) -> nn.Sequential:
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    for channels in (1, 64, 64, 64):
        layers += [nn.Conv2d(channels, 64, 3, padding=1), activation()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))


def export(exporter: str, training: bool, images: torch.Tensor) -> bytes:
    """The network as "ours" or "today's" exporter writes it."""
    with exporters_advice_hidden():
        if exporter in {"ours", "lowered"}:
            network = _network(ort_rrelu.torch.RReLU).train(training)
            model = ort_rrelu.torch.export(network, (images,), dynamo=False)
            made = ort_rrelu.graph.lower(model) if exporter == "lowered" else model
            return bytes(made.SerializeToString())
        network = _network(nn.RReLU).train(training)
        mode = torch.onnx.TrainingMode.TRAINING if training else torch.onnx.TrainingMode.EVAL
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "network.onnx"
            torch.onnx.export(network, (images,), path, dynamo=False, training=mode)
            return path.read_bytes()


@pytest.mark.parametrize("threads", sorted({1, ALL_THREADS}))
@pytest.mark.parametrize("mode", ["train", "eval"])
@pytest.mark.parametrize("exporter", ["ours", "lowered", "today's"])
def bench_network(benchmark: Any, exporter: str, mode: str, threads: int) -> None:
    benchmark.extra_info |= {"network": exporter, "mode": mode, "threads": threads}
    images = torch.randn(_BATCH, 1, 32, 32)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    model = export(exporter, mode == "train", images)
    session = ort_rrelu.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    feed = {session.get_inputs()[0].name: np.ascontiguousarray(images.numpy())}
    benchmark(lambda: session.run(None, feed))
