"""The short form of `make test-lifecycle`, and that it finds what it looks for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import ort_rrelu
from tests.lifecycle import scenarios


@pytest.mark.parametrize(
    ("scenario", "times"),
    [
        (scenarios.sessions, 2000),
        (scenarios.registrations, 2000),
        (scenarios.new_seeds, 2000),
        (scenarios.threads, 200),
        (scenarios.forks, 10),
    ],
)
def test_nothing_grows(scenario: Callable[[int], str], times: int) -> None:
    assert scenario(times)


@pytest.mark.parametrize("scenario", [scenarios.interrupts, scenarios.killed_writers])
def test_nothing_is_lost(scenario: Callable[[int, Path], str], tmp_path: Path) -> None:
    assert scenario(2, tmp_path)


def test_a_registration_that_is_kept_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[object] = []
    register = ort_rrelu.register

    def leaking(*arguments: object, **settings: object) -> object:
        kept.append(np.ones(1000))
        return register(*arguments, **settings)  # type: ignore[arg-type]

    monkeypatch.setattr(ort_rrelu, "register", leaking)
    with pytest.raises(AssertionError, match="each leaves"):
        scenarios.registrations(2000)
