"""Processes that fork: what nothing seeds is drawn anew in each child, what a seed fixes repeats."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import ort_rrelu

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")

_ROOT = Path(__file__).resolve().parents[2]
_FRESH = ("session", "session that ran", "evaluator", "NumPy")
_REPEATED = ("seeded node", "seeded session", "seeded node in evaluator")


def _python(*arguments: str | Path) -> str:
    command = [sys.executable, *map(str, arguments)]
    result = subprocess.run(command, cwd=_ROOT, capture_output=True, text=True, check=False, timeout=120)
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def drawn() -> list[dict[str, str]]:
    """A family of processes, each of which drew once, but the last: a child of one that had drawn."""
    family: list[dict[str, str]] = json.loads(_python("-m", "tests.core.forked_draws"))
    assert len(family) == 6
    assert set(family[0]) == {*_FRESH, *_REPEATED}
    return family


@pytest.mark.parametrize("name", _FRESH)
def test_without_a_seed_every_process_draws_anew(name: str, drawn: list[dict[str, str]]) -> None:
    assert len({draws[name] for draws in drawn}) == len(drawn)


@pytest.mark.parametrize("name", _REPEATED)
def test_with_a_seed_every_process_draws_alike(name: str, drawn: list[dict[str, str]]) -> None:
    """The same first draw; the child of a process that had drawn once goes on with the second."""
    first = [draws[name] for draws in (*drawn[:4], drawn[5])]
    assert len(set(first)) == 1
    assert drawn[4][name] != first[0]


_UNLOADED = """
import ctypes, os, sys, _ctypes
path = sys.argv[1]
library = ctypes.CDLL(path)
assert path in open("/proc/self/maps").read()
_ctypes.dlclose(library._handle)
assert path not in open("/proc/self/maps").read(), "it is still loaded"
child = os.fork()
if child == 0:
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
"""


@pytest.mark.skipif(sys.platform != "linux", reason="Linux shows what is loaded")
def test_a_fork_after_the_library_was_unloaded(tmp_path: Path) -> None:
    """Nothing of it is called then."""
    copy = tmp_path / "libort_rrelu.so"
    shutil.copy(ort_rrelu.get_library_path(), copy)
    _python("-c", _UNLOADED, copy)
