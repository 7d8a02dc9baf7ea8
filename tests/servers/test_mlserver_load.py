"""The load tests of docs/serving.md, for a moment: every model answers any number of clients."""

from __future__ import annotations

from tests.benchmarks import load_steps
from tests.benchmarks.load_serving import measure, table


def test_every_model_answers_under_load() -> None:
    results = measure(seconds=0.3, rounds=1, report=lambda text: None)
    assert set(results) == {
        f"{mode}, {by}" for mode in ("eval", "train") for by in ("ort_rrelu", "today's export")
    }
    for by_clients in results.values():
        assert set(by_clients) == {"1", "8", "32"}
        for row in by_clients.values():
            assert row["requests_a_second"] > 0
            assert 0 < row["p50_ms"] <= row["p99_ms"]
    assert len(table(results).splitlines()) == 2 + 6


def test_requests_that_bring_their_steps_under_load() -> None:
    results = load_steps.measure(seconds=0.3, rounds=1)
    assert min(results["process_ms_for_32"].values()) > 0
    assert all(row["requests_a_second"] > 0 for row in results["servers"].values())
    assert len(load_steps.table(results).splitlines()) == 2 + 2
