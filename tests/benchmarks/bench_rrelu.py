"""Every case of contenders.py, measured by pytest-benchmark."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import pytest

from tests.benchmarks.contenders import Case, cases, prepare


@pytest.mark.parametrize("case", list(cases()), ids=str)
def bench_one_run(benchmark: Any, case: Case) -> None:
    benchmark.extra_info |= asdict(case)
    run = prepare(case)
    run()
    benchmark(run)
