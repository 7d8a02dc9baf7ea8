"""`python -m tests.benchmarks.fused`: a fused stock export against our own, in medians of one run.

The runs of the two alternate, so that what else the machine does meets both.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import onnx
import onnxruntime
import torch

import ort_rrelu
from tests.benchmarks.bench_network import export
from tests.benchmarks.contenders import ALL_THREADS
from tests.benchmarks.targets import Ratio
from tests.onnx_models import Array

_BATCH, _ROUNDS, _WARM_UP = 16, 60, 3


def _run(model: bytes, threads: int, images: Array) -> Callable[[], object]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    # A thread that spins after its session's run would slow down the next one's.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = ort_rrelu.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    feed = {session.get_inputs()[0].name: images}
    return lambda: session.run(None, feed)


def _medians(runs: list[Callable[[], object]]) -> list[float]:
    """Seconds of one run of each."""
    times: list[list[float]] = [[] for _ in runs]
    for turn in range(_WARM_UP + _ROUNDS):
        for own, run in list(zip(times, runs, strict=True))[:: 1 if turn % 2 else -1]:
            begin = time.perf_counter()
            run()
            own.append(time.perf_counter() - begin)
    return [statistics.median(own[_WARM_UP:]) for own in times]


def ratios() -> list[Ratio]:
    """Time of the fused model over that of ours, and what fusing gained."""
    images = torch.randn(_BATCH, 1, 32, 32)
    stock = export("today's", True, images)
    fused = ort_rrelu.graph.fuse(onnx.load_model_from_string(stock)).SerializeToString()
    models = [export("ours", True, images), fused, stock]
    found = []
    for threads in sorted({1, ALL_THREADS}):
        ours, made, before = _medians([_run(model, threads, images.numpy()) for model in models])
        where = f"network of four convolutions, train, {threads} thread(s)"
        found.append(Ratio(f"{where}: time of fused over our own export", made / ours, "<=", 1.05))
        found.append(Ratio(f"{where}: speed of fused over before", before / made, "", 1))
    return found


if __name__ == "__main__":
    for ratio in ratios():
        goal = f" (aim {ratio.sign} {ratio.target})" if ratio.sign else ""
        print(f"{ratio.what}: {ratio.value:.2f}{goal}{'' if ratio.met else ', missed'}")
