"""Whole networks: our node, lowered by the session and in the kernel, and what torch's exporter writes."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
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
from tests.benchmarks.networks import convolutions, resnet18

_BATCH = 64


def export(
    exporter: str,
    training: bool,
    images: torch.Tensor,
    build: Callable[[Callable[[], nn.Module]], nn.Module] = convolutions,
) -> bytes:
    """The network as "ours" or "today's" exporter writes it."""
    with exporters_advice_hidden():
        if exporter == "ours":
            network = build(ort_rrelu.torch.RReLU).train(training)
            model = ort_rrelu.torch.export(network, (images,), dynamo=False)
            return bytes(model.SerializeToString())
        network = build(nn.RReLU).train(training)
        mode = torch.onnx.TrainingMode.TRAINING if training else torch.onnx.TrainingMode.EVAL
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "network.onnx"
            torch.onnx.export(network, (images,), path, dynamo=False, training=mode)
            return path.read_bytes()


def _bench(benchmark: Any, model: bytes, images: torch.Tensor, threads: int, *, lower_eval: bool) -> None:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    session = ort_rrelu.InferenceSession(
        model, options, providers=["CPUExecutionProvider"], lower_eval=lower_eval
    )
    feed = {session.get_inputs()[0].name: np.ascontiguousarray(images.numpy())}
    benchmark(lambda: session.run(None, feed))


_EXPORTERS = {"ours": "ours", "kernel": "ours", "today's": "today's"}


@pytest.mark.parametrize("threads", sorted({1, ALL_THREADS}))
@pytest.mark.parametrize("mode", ["train", "eval"])
@pytest.mark.parametrize("name", _EXPORTERS)
def bench_network(benchmark: Any, name: str, mode: str, threads: int) -> None:
    benchmark.extra_info |= {"network": name, "mode": mode, "threads": threads}
    images = torch.randn(_BATCH, 1, 32, 32)
    model = export(_EXPORTERS[name], mode == "train", images)
    _bench(benchmark, model, images, threads, lower_eval=name != "kernel")


@pytest.mark.parametrize("name", _EXPORTERS)
def bench_resnet18(benchmark: Any, name: str) -> None:
    benchmark.extra_info |= {"network": name, "mode": "resnet18, eval", "threads": ALL_THREADS}
    images = torch.randn(1, 3, 224, 224)
    model = export(_EXPORTERS[name], False, images, resnet18)
    _bench(benchmark, model, images, ALL_THREADS, lower_eval=name != "kernel")
