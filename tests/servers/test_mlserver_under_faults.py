"""A short form of `make test-faults`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.servers.faults import run
from tests.servers.faults.load import Seen
from tests.servers.process_state import State

_SECONDS = 0.5


def test_the_server_is_afterwards_as_before(tmp_path: Path) -> None:
    dropped, full_disk = run.lasting(tmp_path, _SECONDS, least_ratio=0.2, under=["dropped_connections"])
    assert (dropped.name, dropped.faults) == ("dropped_connections", [])
    assert (full_disk.name, full_disk.faults) == ("full_disk", [])
    assert len(dropped.failing) == 3
    # Answered, though no line of its log is written.
    assert {"400"} <= set(full_disk.failing) <= {"400", "404", "503"}


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
