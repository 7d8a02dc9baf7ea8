"""python -m tests.benchmarks.load_serving: our operator and today's export behind the same server.

A network of three convolutions, exported by ort_rrelu and by torch's TorchScript exporter as it is, is served by
`ort-rrelu serve` on loopback; clients over gRPC ask without a pause. A minute on two cores.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from threading import Barrier
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from torch import nn

import ort_rrelu
from tests.serving.clients import Client, Endpoint
from tests.serving.servers import ort_rrelu_serve

_CLIENTS = (1, 8, 32)
_RESULT = Path(__file__).parent / "results" / "serving-2-cores.json"
_IMAGE = np.random.default_rng(0).standard_normal((1, 1, 8, 8)).astype(np.float32)
_NAMES: dict[str, Any] = {"input_names": ["x"], "output_names": ["y"]}
_AXES = {"x": {0: "batch"}, "y": {0: "batch"}}


def network() -> nn.Sequential:
    """Small requests, large activations: 8 x 8 in, three RReLUs on 16 x 64 x 64, 10 out."""
    torch.manual_seed(0)
    layers: list[nn.Module] = [nn.Upsample(scale_factor=8)]
    for channels in (1, 16, 16):
        layers += [nn.Conv2d(channels, 16, 3, padding=1), nn.RReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 10))


def models(folder: Path) -> dict[str, onnx.ModelProto]:
    """Mode and exporter -> model. Today's is TorchScript's: the default exporter refuses RReLU."""
    images = torch.from_numpy(_IMAGE).expand(2, 1, 8, 8)
    made = {}
    for mode in ("eval", "train"):
        net = network().train(mode == "train")
        batch = ({0: torch.export.Dim("batch")},)
        made[f"{mode}, ort_rrelu"] = ort_rrelu.torch.export(
            net, (images,), dynamic_shapes=batch, step_input=False, verbose=False, **_NAMES
        )
        kind = torch.onnx.TrainingMode.TRAINING if mode == "train" else torch.onnx.TrainingMode.EVAL
        path = folder / f"{mode}.onnx"
        torch.onnx.export(
            net, (images,), str(path), dynamo=False, training=kind, dynamic_axes=_AXES, **_NAMES
        )
        made[f"{mode}, today's export"] = onnx.load(path)
    return made


def _ask(endpoint: Endpoint, clients: int, seconds: float) -> list[float]:
    """Milliseconds of each request, of all clients."""
    barrier = Barrier(clients)

    def one(_: int) -> list[float]:
        taken = []
        with closing(Client(endpoint, "grpc")) as client:
            client.infer({"x": ("FP32", _IMAGE)})
            barrier.wait(60)
            end = time.perf_counter() + seconds
            while (began := time.perf_counter()) < end:
                client.infer({"x": ("FP32", _IMAGE)})
                taken.append((time.perf_counter() - began) * 1e3)
        return taken

    with ThreadPoolExecutor(clients) as pool:
        return [value for values in pool.map(one, range(clients)) for value in values]


def _row(values: list[float], seconds: float) -> dict[str, float]:
    return {
        "requests_a_second": round(len(values) / seconds, 1),
        "p50_ms": round(float(np.percentile(values, 50)), 2),
        "p99_ms": round(float(np.percentile(values, 99)), 2),
    }


def measure(seconds: float, report: Callable[[str], None] = print) -> dict[str, Any]:
    """Every model with every number of clients, the exporters in turn."""
    results: dict[str, dict[str, dict[str, float]]] = {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        made = models(folder)
        served = {f"m{i}": name for i, name in enumerate(made)}
        with ort_rrelu_serve({key: made[name] for key, name in served.items()}, folder) as server:
            for clients in _CLIENTS:
                for key, name in served.items():
                    row = _row(_ask(server.endpoints[key], clients, seconds), seconds)
                    results.setdefault(name, {})[str(clients)] = row
                    report(f"{name}, {clients} clients: {row}")
    return results


def table(results: dict[str, Any]) -> str:
    """The rows for docs/serving.md: ratios of one run."""
    lines = [
        "| mode | clients | requests/s | p50, p99 ms | today's export: requests/s | p50, p99 ms | ratio |"
    ]
    lines.append("|---|---|---|---|---|---|---|")
    for mode in ("eval", "train"):
        for clients in map(str, _CLIENTS):
            ours, theirs = (results[f"{mode}, {by}"][clients] for by in ("ort_rrelu", "today's export"))
            cells = [
                f"{r['requests_a_second']:.0f} | {r['p50_ms']:.1f}, {r['p99_ms']:.1f}" for r in (ours, theirs)
            ]
            ratio = ours["requests_a_second"] / theirs["requests_a_second"]
            lines.append(f"| {mode} | {clients} | {' | '.join(cells)} | {ratio:.2f} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=3, help="for each model and number of clients")
    parser.add_argument("--output", type=Path, default=_RESULT)
    options = parser.parse_args()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's, about its older exporter
        results = measure(options.seconds)
    machine = {
        "cores": os.cpu_count(),
        "onnxruntime": onnxruntime.__version__,
        "torch": torch.__version__,
        "load_before": round(os.getloadavg()[2], 1),
    }
    options.output.write_text(json.dumps({"machine": machine, "results": results}, indent=2) + "\n")
    print(table(results))


if __name__ == "__main__":
    main()
