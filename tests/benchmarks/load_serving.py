"""python -m tests.benchmarks.load_serving: our operator and today's export behind the same server.

A network of three convolutions, exported by ort_rrelu and by torch's TorchScript exporter as it is, is served
by `ort-rrelu serve` on loopback; clients over gRPC ask without a pause. A minute on two cores.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from torch import nn

import ort_rrelu
from tests.benchmarks.load import ask, row
from tests.servers.servers import ort_rrelu_serve

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


def measure(seconds: float, rounds: int, report: Callable[[str], None] = print) -> dict[str, Any]:
    """Every model with every number of clients, in turn: what disturbs the machine disturbs all of them."""
    taken: dict[tuple[str, int], list[float]] = {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        made = models(folder)
        names = {f"m{i}": name for i, name in enumerate(made)}
        with ort_rrelu_serve({key: made[name] for key, name in names.items()}, folder) as server:
            for _ in range(rounds):
                for clients in _CLIENTS:
                    for key, name in names.items():
                        values = ask(server.endpoints[key], {"x": ("FP32", _IMAGE)}, clients, seconds)
                        taken.setdefault((name, clients), []).extend(values)
    results: dict[str, dict[str, dict[str, float]]] = {}
    for (name, clients), values in taken.items():
        found = results.setdefault(name, {})[str(clients)] = row(values, seconds * rounds)
        report(f"{name}, {clients} clients: {found}")
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
    parser.add_argument("--seconds", type=float, default=1, help="for each model, clients and round")
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--output", type=Path, default=_RESULT)
    options = parser.parse_args()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's, about its older exporter
        results = measure(options.seconds, options.rounds)
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
