"""What is done again and again: what was found is returned, and an AssertionError is raised for a fault."""

from __future__ import annotations

import gc
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx

import ort_rrelu
from tests.onnx_models import rrelu_model

_X = np.full(1000, -1, np.float32)
_ONE_THREAD = 1


def _resident() -> float:
    """kB of memory that the process has now."""
    gc.collect()
    (line,) = (
        line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmRSS")
    )
    return float(line.split()[1])


def _growth(act: Callable[[int], None], times: int, allowed: float) -> str:
    """kB that each call leaves behind, once the first tenth has filled what is kept for all.

    A thousand kB of all calls together are allowed, too: the allocator's.
    """
    first = times // 10
    for i in range(first):
        act(i)
    before = _resident()
    for i in range(first, times):
        act(i)
    growth = (_resident() - before) / (times - first)
    assert growth < allowed + 1000 / times, f"each leaves {growth:.3f} kB"
    return f"{growth:.3f} kB each"


def _session(seed: int | None = 7) -> object:
    options = ort_rrelu.register(seed=seed)
    options.intra_op_num_threads = _ONE_THREAD
    model = rrelu_model(shape=["n"], outputs=("y",), training=1)
    return ort_rrelu.InferenceSession(model.SerializeToString(), options)


def sessions(times: int) -> str:
    """Opened, run and dropped."""
    expected = None

    def act(_: int) -> None:
        nonlocal expected
        (y,) = _session().run(None, {"x": _X})  # type: ignore[attr-defined]
        expected = y if expected is None else expected
        assert np.array_equal(y, expected)

    return _growth(act, times, allowed=0.1)


def registrations(times: int) -> str:
    """Of session options, with one seed."""
    return _growth(lambda _: ort_rrelu.register(seed=3) and None, times, allowed=0.05)


def new_seeds(times: int) -> str:
    """Registrations with a seed that no other had: its operators are kept, as ONNX Runtime needs them."""
    return _growth(lambda i: ort_rrelu.register(seed=1000 + i) and None, times, allowed=2)


def threads(times: int) -> str:
    """Sessions that are opened and run in eight threads at a time."""
    (expected,) = _session().run(None, {"x": _X})  # type: ignore[attr-defined]

    def act(_: int) -> bool:
        (y,) = _session().run(None, {"x": _X})  # type: ignore[attr-defined]
        return bool(np.array_equal(y, expected))

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(act, range(times)))
    return "the same slopes in all"


def forks(times: int) -> str:
    """Children that draw in several threads, each with entropy of its own."""
    x = np.full(300_000, -1, np.float32)
    ort_rrelu.rrelu(x, training=True)
    drawn = set()
    for _ in range(times):
        reading, writing = os.pipe()
        if (child := os.fork()) == 0:
            y = ort_rrelu.rrelu(x, training=True)
            os.write(writing, y[:8].tobytes())
            os._exit(0)
        os.close(writing)
        drawn.add(os.read(reading, 32))
        os.close(reading)
        assert os.waitpid(child, 0)[1] == 0
    assert len(drawn) == times, "children drew the same slopes"
    return "other slopes in each"


_RUNS_FOR_EVER = """
import itertools, numpy as np, ort_rrelu, signal
from tests.lifecycle.scenarios import _session
signal.signal(signal.SIGINT, signal.default_int_handler)  # shells ignore it in what runs in the background
session, x = _session(), np.full(100_000, -1, np.float32)
print("runs", flush=True)
for step in itertools.count():
    session.run(None, {"x": x})
    ort_rrelu.rrelu(x, training=True)
"""
_WRITES_FOR_EVER = """
import itertools, onnx
from ort_rrelu.files import replacing
for model in itertools.cycle([onnx.load(name) for name in ("first.onnx", "second.onnx")]):
    with replacing("net.onnx") as path:
        onnx.save(model, path)
    print("written", flush=True)
"""
_SAVES_FOR_EVER = """
import itertools, numpy as np
from ort_rrelu.training import Trainer
trainer = Trainer("step.onnx")
for step in itertools.count():
    x = np.random.default_rng(step).normal(size=(16, 8)).astype(np.float32)
    trainer.step(x, x[:, :3].argmax(1))
    trainer.save("checkpoint")
    print(step, flush=True)
"""
_PATH = str(Path(__file__).resolve().parents[2])


def _started(code: str, folder: Path) -> subprocess.Popen[str]:
    """A process that has begun with what it does for ever."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    env = os.environ | {"PYTHONPATH": _PATH, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen([sys.executable, "-c", code], cwd=folder, env=env, **pipes)  # type: ignore[call-overload]
    assert process.stdout.readline(), process.communicate(timeout=60)[1]
    return process  # type: ignore[no-any-return]


def _ended(process: subprocess.Popen[str], how: signal.Signals) -> str:
    """What it wrote to stderr, after a time by chance."""
    time.sleep(random.uniform(0, 0.05))
    process.send_signal(how)
    return process.communicate(timeout=60)[1]


def interrupts(times: int, folder: Path) -> str:
    """SIGINT in a run becomes KeyboardInterrupt."""
    for _ in range(times):
        process = _started(_RUNS_FOR_EVER, folder)
        said = _ended(process, signal.SIGINT)
        assert process.returncode in {1, -signal.SIGINT} and "KeyboardInterrupt" in said, (
            process.returncode,
            said,
        )
    return "KeyboardInterrupt in all"


def killed_writers(times: int, folder: Path) -> str:
    """SIGKILL while a model is written: it is the old one or the new one."""
    weights = np.zeros(2**18, np.float32)  # a file that takes a while
    models = {
        name: rrelu_model(shape=["n"], training=1, seed=seed) for name, seed in (("first", 1), ("second", 2))
    }
    for name, model in models.items():
        model.graph.initializer.append(onnx.numpy_helper.from_array(weights, "unread"))
        onnx.save(model, folder / f"{name}.onnx")
    whole = {(folder / f"{name}.onnx").read_bytes() for name in models}
    for _ in range(times):
        _ended(_started(_WRITES_FOR_EVER, folder), signal.SIGKILL)
        assert (folder / "net.onnx").read_bytes() in whole
    return "whole in all"


def killed_trainings(times: int, folder: Path) -> str:
    """SIGKILL while a checkpoint is written: the training goes on from it."""
    from tests.training.networks import new_trainer, resumable_step

    onnx.save(resumable_step(), folder / "step.onnx")
    steps = []
    for _ in range(times):
        _ended(_started(_SAVES_FOR_EVER, folder), signal.SIGKILL)
        trainer = new_trainer(folder / "step.onnx")
        trainer.resume(folder / "checkpoint")
        steps.append(trainer.steps)
    return f"resumed at steps {min(steps)} to {max(steps)}"
