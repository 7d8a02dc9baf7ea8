"""One training step of the digits network, in ONNX Runtime (road B) and in torch."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from models.digits.network import load
from models.digits_training.step_time import NAMES, contenders


@functools.cache
def _contenders() -> Mapping[str, Callable[[], object]]:
    return contenders(load())


@pytest.mark.parametrize("name", NAMES)
def bench_step(benchmark: Any, name: str) -> None:
    benchmark.extra_info |= {"network": name, "mode": "training step", "threads": 1}
    run = _contenders()[name]
    run()
    benchmark(run)
