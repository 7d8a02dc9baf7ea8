"""On any model the tools come to an end, with no errors but ours, ONNX Runtime's and the file system's."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from tests.commands.fuzz_process import FuzzProcess, look
from tests.commands.fuzz_worker import VERBS
from tests.commands.valid_models import SEEDS

_CASES = 100  # a few seconds; --cases asks for more, `make fuzz-models` for many


@pytest.fixture(scope="module")
def process() -> Iterator[FuzzProcess]:
    """One for all cases."""
    started = FuzzProcess()
    yield started
    started.end()


@pytest.mark.parametrize(("name", "command"), list(zip(SEEDS, itertools.cycle(VERBS), strict=False)))
def test_valid_models_have_no_findings(name: str, command: str, process: FuzzProcess) -> None:
    assert process.findings(command, SEEDS[name].SerializeToString()) == []


def test_damaged_models(process: FuzzProcess, request: pytest.FixtureRequest) -> None:
    cases = request.config.getoption("--cases")
    _, found = look(process, _CASES if cases is None else cases)
    assert not found, "\n\n".join(found.values())
