"""python -m tests.benchmarks.load_steps: train-mode requests that bring their steps, joined and one by one.

The digits network draws slopes for requests of one image, from 32 clients. First in a process, as
`ServedModel` runs them; then through `ort-rrelu serve`, one server that joins and one that does not, in turn.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch

import ort_rrelu
from models.digits.exports import exporters_advice_hidden
from models.digits.network import build
from ort_rrelu.arguments import Array
from ort_rrelu.serving.model import ServedModel
from tests.benchmarks.load import ask, row
from tests.servers.servers import ort_rrelu_serve

_CLIENTS = 32
_JOINED, _ALONE = "joined", "one by one"
_RESULT = Path(__file__).parent / "results" / "serving-steps-2-cores.json"
_IMAGES: Array = np.random.default_rng(0).random((_CLIENTS, 1, 8, 8), np.float32)
_STEPS: Array = np.random.default_rng(1).integers(0, 2**40, _CLIENTS)


def model() -> onnx.ModelProto:
    """The digits network in train mode, a step for each image."""
    torch.manual_seed(0)
    with exporters_advice_hidden():
        made = ort_rrelu.torch.export(
            build().train(),
            (torch.from_numpy(_IMAGES[:2]),),
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            input_names=["images"],
            output_names=["logits"],
            step_input=True,
            verbose=False,
        )
    (step,) = (value for value in made.graph.input if value.name == "step")
    step.CopyFrom(onnx.helper.make_tensor_value_info("step", onnx.TensorProto.INT64, ["batch"]))
    return made


def in_a_process(path: Path, rounds: int) -> dict[str, float]:
    """Milliseconds of 32 requests, the shortest of all rounds: in one run, and in a run each."""
    served = ServedModel(path, threads=1)
    assert served.batches, served.obstacles
    requests = [{"images": _IMAGES[i : i + 1], "step": _STEPS[i : i + 1]} for i in range(_CLIENTS)]
    runs: dict[str, Callable[[], object]] = {
        _JOINED: lambda: served.run_together(requests),
        _ALONE: lambda: [served.run(request) for request in requests],
    }
    taken: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            began = time.perf_counter()
            run()
            taken[name].append((time.perf_counter() - began) * 1e3)
    return {name: round(min(values), 3) for name, values in taken.items()}


def behind_servers(made: onnx.ModelProto, folder: Path, seconds: float, rounds: int) -> dict[str, Any]:
    """Requests a second of 32 clients, and how long they took."""
    feeds = {"images": ("FP32", _IMAGES[:1]), "step": ("INT64", _STEPS[:1])}
    sizes = {_JOINED: _CLIENTS, _ALONE: 1}
    taken: dict[str, list[float]] = {name: [] for name in sizes}
    folders = {name: folder / str(size) for name, size in sizes.items()}
    for one in folders.values():
        one.mkdir()
    with (
        ort_rrelu_serve({"digits": made}, folders[_JOINED], max_batch_size=_CLIENTS, threads=1) as joined,
        ort_rrelu_serve({"digits": made}, folders[_ALONE], max_batch_size=1, threads=1) as alone,
    ):
        servers = {_JOINED: joined, _ALONE: alone}
        for _ in range(rounds):
            for name, server in servers.items():
                taken[name] += ask(server.endpoints["digits"], feeds, _CLIENTS, seconds)
    return {name: row(values, seconds * rounds) for name, values in taken.items()}


def measure(seconds: float, rounds: int) -> dict[str, Any]:
    """Both, each in turn with what it is compared to."""
    made = model()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        onnx.save(made, folder / "digits.onnx")
        return {
            "process_ms_for_32": in_a_process(folder / "digits.onnx", rounds * 20),
            "servers": behind_servers(made, folder, seconds, rounds),
        }


def table(results: dict[str, Any]) -> str:
    """The rows for docs/serving.md: ratios of one run."""
    process, servers = results["process_ms_for_32"], results["servers"]
    rates = {name: _CLIENTS / milliseconds * 1e3 for name, milliseconds in process.items()}
    lines = ["| | joined: requests/s | one by one | ratio |", "|---|---|---|---|"]
    for what, found in (
        ("`ServedModel`, in a process", rates),
        ("`ort-rrelu serve`, 32 clients", {name: servers[name]["requests_a_second"] for name in servers}),
    ):
        ratio = found[_JOINED] / found[_ALONE]
        lines.append(f"| {what} | {found[_JOINED]:.0f} | {found[_ALONE]:.0f} | {ratio:.1f} |")
    return "\n".join(lines)


def main() -> None:
    """Write the result, print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=1, help="for each server and round")
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--output", type=Path, default=_RESULT)
    options = parser.parse_args()
    machine = {
        "cores": os.cpu_count(),
        "onnxruntime": onnxruntime.__version__,
        "load_before": round(os.getloadavg()[0], 1),
    }
    results = measure(options.seconds, options.rounds)
    options.output.write_text(json.dumps({"machine": machine, "results": results}, indent=2) + "\n")
    print(table(results))


if __name__ == "__main__":
    main()
