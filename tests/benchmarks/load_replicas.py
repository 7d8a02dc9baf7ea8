"""python -m tests.benchmarks.load_replicas: one and two replicas in Ray Serve, in its environment.

Throughput and latency over gRPC on loopback, and what the replicas take of memory. A minute on two cores.
"""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from tests.benchmarks.load import ask, row
from tests.servers.servers import Served, ray_serve
from tests.serving_models import MODELS

_RESULT = Path(__file__).parent / "results" / "serving-replicas-2-cores.json"
_CLIENTS, _SECONDS = (1, 8, 32), 2
_ROW = np.ones((1, 8), np.float32)


def _memory(served: Served, name: str) -> list[float]:
    """MiB that each replica shares with no other process."""
    found = []
    for process in served.replicas(name):
        lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
        found.append(sum(int(line.split()[1]) for line in lines if line.startswith("Private_")) / 1024)
    return [round(value, 1) for value in found]


def main() -> None:
    """Write the result, print it."""
    results: dict[str, Any] = {"load_before": round(os.getloadavg()[2], 1), "cores": os.cpu_count()}
    models = {"one": MODELS["eval"], "two": MODELS["eval"]}
    with (
        tempfile.TemporaryDirectory() as folder,
        ray_serve(models, Path(folder), {"one": 1, "two": 2}, max_batch_time=0.002) as served,
    ):
        for clients in _CLIENTS:
            for name, endpoint in served.endpoints.items():
                values = ask(endpoint, {"x": ("FP32", _ROW)}, clients, _SECONDS)
                results.setdefault(name, {})[str(clients)] = row(values, _SECONDS)
        for name in models:
            results[name]["private_mib"] = _memory(served, name)
    _RESULT.write_text(json.dumps(results, indent=2) + "\n")
    print(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
