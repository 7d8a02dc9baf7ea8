"""RRelu on ONNX Runtime's CUDA provider against other nodes; adds to what gpu.py has written.

python -m tests.benchmarks.gpu_onnxruntime OUT.json
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import onnxruntime
from onnx import TensorProto, helper

import ort_rrelu
from ort_rrelu import schema
from tests.benchmarks.gpu import Result, arguments, write
from tests.onnx_models import make_model, rrelu_model


def _session(model: Any) -> onnxruntime.InferenceSession:
    session = onnxruntime.InferenceSession(
        model.SerializeToString(),
        ort_rrelu.register(),
        [("CUDAExecutionProvider", {}), "CPUExecutionProvider"],
    )
    if session.get_providers()[0] != "CUDAExecutionProvider":  # it falls back without a word
        raise SystemExit("ONNX Runtime's CUDA provider does not load here")
    return session


def _runner(session: onnxruntime.InferenceSession, size: int) -> Callable[[], None]:
    """One run on arrays that stay on the device."""
    binding = session.io_binding()
    x = onnxruntime.OrtValue.ortvalue_from_numpy(
        np.random.default_rng(7).normal(size=size).astype(np.float32), "cuda", 0
    )
    y = onnxruntime.OrtValue.ortvalue_from_shape_and_type([size], np.float32, "cuda", 0)
    binding.bind_ortvalue_input("x", x)
    binding.bind_ortvalue_output("y", y)
    return lambda: session.run_with_iobinding(binding)


def _run_seconds(run: Callable[[], None], repeats: int) -> float:
    """Host time of a run, which ends when the device is done."""
    for _ in range(20):
        run()
    times = []
    for _ in range(repeats):
        begin = time.perf_counter()
        run()
        times.append(time.perf_counter() - begin)
    return statistics.median(times)


def _plain_model(*nodes: Any) -> Any:
    info = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n"]) for name in "xy"]
    return make_model(list(nodes), info[:1], info[1:])


def _against_onnxruntime(size: int) -> list[Result]:
    decomposed = _plain_model(
        helper.make_node("RandomUniformLike", ["x"], ["slope"], low=schema.LOWER, high=schema.UPPER),
        helper.make_node("PRelu", ["x", "slope"], ["y"]),
    )
    leaky_relu = _plain_model(helper.make_node("LeakyRelu", ["x"], ["y"], alpha=0.2))
    ours = _session(rrelu_model(training=1, shape=["n"], outputs=["y"]))
    large = [_run_seconds(_runner(s, size), 20) for s in (_session(decomposed), ours)]
    small = [_run_seconds(_runner(s, 1000), 3000) for s in (ours, _session(leaky_relu))]
    return [
        Result("train, float, against RandomUniformLike + PRelu", large[0] / large[1], "times as fast", 2),
        Result("train, 1000 elements, a run", small[0] / small[1], "times LeakyRelu", 1.2),
    ]


def main() -> None:
    given = arguments(__doc__)
    onnxruntime.preload_dlls()  # those of CUDA that torch's packages brought
    facts = json.loads(given.out.read_text("utf-8")) if given.out.exists() else {}
    facts["onnxruntime"] = onnxruntime.__version__
    write(given.out, facts, _against_onnxruntime(given.elements))


if __name__ == "__main__":
    main()
