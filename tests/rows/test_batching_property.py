"""Where requests may share a run, each row of a batch is the row that it is alone: on random graphs."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ort_rrelu.serving import can_batch
from tests.rows.grown import grown_model
from tests.rows.runs import check_rows

_CASES = 300


def test_random_graphs(pytestconfig: pytest.Config) -> None:
    """`--cases N` for more; a share of the graphs must batch, and another must not. Some that batch draw."""
    cases = pytestconfig.getoption("--cases") or _CASES
    seen: Counter[str] = Counter()

    @settings(max_examples=cases, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(st.integers(0, 2**63), st.integers(4, 14))
    def check(seed: int, size: int) -> None:
        model = grown_model(seed, size)
        batches = can_batch(model)
        seen["batch" if batches else "do not"] += 1
        if batches:
            seen["batch, with three nodes or more"] += len(model.graph.node) > 2
            seen["batch, with draws"] += check_rows(model, seed) > 0

    check()
    print(f"\nof {cases} random graphs {dict(seen)}")
    assert min(seen["batch, with three nodes or more"], seen["do not"]) > cases / 6
    assert seen["batch, with draws"] > cases / 30
