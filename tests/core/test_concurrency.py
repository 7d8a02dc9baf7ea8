"""Many threads: one session, many sessions, and Python beside them."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import ort_rrelu
from ort_rrelu import library, reference
from tests.bits import assert_same_bits
from tests.onnx_models import DOUBLE, Array, rrelu_model, run, session

_THREADS = 8
_RUNS = 400


def _at_once(work: Callable[[int], Array], count: int) -> list[Array]:
    """The results of `count` calls on eight threads that start together."""
    barrier = threading.Barrier(_THREADS)
    with ThreadPoolExecutor(_THREADS, initializer=barrier.wait) as pool:
        return list(pool.map(work, range(count)))


@pytest.mark.parametrize("intra_op_threads", [1, 2])
@pytest.mark.parametrize("size", [16, 70_000])
def test_concurrent_runs_take_every_step_once(intra_op_threads: int, size: int) -> None:
    node = session(rrelu_model(training=1, seed=42), threads=intra_op_threads)
    x = np.zeros(size, np.float32)
    runs = _RUNS if size < 1000 else 40
    draws = sorted(noise.tobytes() for noise in _at_once(lambda _: run(node, x)[1], runs))
    assert draws == sorted(reference.slopes(size, seed=42, step=step).tobytes() for step in range(runs))


def test_sessions_created_and_run_at_once() -> None:
    """Sessions of two seeds, so that threads also meet where registrations are kept."""
    x = np.zeros(16, np.float32)
    model = rrelu_model(training=1)

    def create_and_run(i: int) -> Array:
        return run(session(model, seed=1000 + i % 2), x)[1]

    draws = _at_once(create_and_run, 64)
    for i, noise in enumerate(draws):
        assert_same_bits(noise, draws[i % 2])
    assert draws[0].tobytes() != draws[1].tobytes()


def test_concurrent_calls_of_the_kernels() -> None:
    x = np.random.default_rng(7).normal(size=200_003).astype(np.float32)
    draws = _at_once(lambda step: ort_rrelu.rrelu(x, training=True, seed=42, step=step), 16)
    for step, y in enumerate(draws):
        assert_same_bits(y, reference.rrelu(x, training=True, seed=42, step=step))


def test_python_runs_during_a_call() -> None:
    """While one thread is in the kernel another executes Python: ctypes has released the GIL."""
    x = np.zeros(2**24)
    y = np.empty_like(x)
    params = library.Params(DOUBLE, training=True, seed=42, num_threads=1)
    ticks: list[float] = []
    done = threading.Event()

    def tick() -> None:
        while not done.wait(1e-4):
            ticks.append(time.perf_counter())

    def longest_silence() -> float:
        """The longest time without Python in the other thread, as a part of the whole call."""
        begin = time.perf_counter()
        library.forward(params, x.ctypes.data, y.ctypes.data, None, 0, x.size)
        end = time.perf_counter()
        moments = [begin, *(tick for tick in ticks if begin < tick < end), end]
        return max(later - earlier for earlier, later in itertools.pairwise(moments)) / (end - begin)

    ticker = threading.Thread(target=tick)
    ticker.start()
    # Several calls, for the machine may be busy.
    released = any(longest_silence() < 0.5 for _ in range(20))
    done.set()
    ticker.join()
    assert released
