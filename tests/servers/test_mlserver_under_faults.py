"""A short form of `make test-faults`."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.servers.faults import run
from tests.servers.faults.load import Seen
from tests.servers.process_state import State

_SECONDS = 1


def test_the_server_is_afterwards_as_before(tmp_path: Path) -> None:
    reports = list(run.lasting(tmp_path, _SECONDS, least_ratio=0.2))
    assert [report.name for report in reports] == [
        *("nothing", "slow_clients", "dropped_connections", "full_disk"),
    ]
    assert {report.name: report.faults for report in reports if report.faults} == {}
    assert all(report.outcomes["right"] for report in reports)
    assert set(reports[-1].failing) == {"400", "404"}  # answered, though no line of its log is written


def test_a_server_that_is_ended_and_started_again(tmp_path: Path) -> None:
    killed = run.killed(tmp_path, signal.SIGTERM, _SECONDS)
    assert killed.faults == []
    assert killed.outcomes["right"] > 0


@pytest.mark.parametrize(
    ("outcomes", "found"),
    [({"right": 5, "503": 3}, 0), ({"right": 5, "wrong": 1}, 1), ({"503": 3}, 1), ({"no answer": 1}, 2)],
)
def test_what_is_a_fault(outcomes: dict[str, int], found: int) -> None:
    seen = Seen()
    seen.outcomes.update(outcomes)
    assert len(run.faults_of(seen, {"right", "503"})) == found


def test_what_has_grown() -> None:
    before = State(100, 100, 10, 10)
    assert run.grown(before, State(120, 400, 12, 12)) == []
    assert run.grown(before, State(150, 150, 30, 30)) == [
        "mib grew by 50",
        "files grew by 20",
        "threads grew by 20",
    ]
