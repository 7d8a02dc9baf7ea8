"""On any model the tools come to an end, with no errors but ours, ONNX Runtime's and the file system's."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from tests.commands.fuzz_process import FuzzProcess, look
from tests.commands.fuzz_worker import RUNTIME, VERBS
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


_ENDS = """
import json, os, sys
sys.stdin.buffer.read(8)
finding = {"stage": "lower", "error": "KeyError"}
for line in ({"stage": "lower"}, {"finding": finding}, {"stage": sys.argv[1]}):
    print(json.dumps(line), flush=True)
os._exit(1)
"""


@pytest.mark.parametrize(("stage", "found"), [(RUNTIME, ["lower"]), ("fuse", ["lower", "fuse"])])
def test_what_was_found_before_a_process_ended_is_told(stage: str, found: list[str]) -> None:
    """ONNX Runtime's own end is no finding; a tool's is."""
    process = FuzzProcess("-c", _ENDS, stage)
    try:
        assert [finding["stage"] for finding in process.findings(VERBS[0], b"")] == found
        assert process.runtime_ends == (stage == RUNTIME)
    finally:
        process.end()


def test_damaged_models(process: FuzzProcess, request: pytest.FixtureRequest) -> None:
    cases = request.config.getoption("--cases")
    _, found = look(process, _CASES if cases is None else cases)
    assert not found, "\n\n".join(found.values())
