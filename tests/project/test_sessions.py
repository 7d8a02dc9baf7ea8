"""The sessions of nox: CI takes them by their tags, and would not miss one without."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.documentation import ROOT

_IN_CI = {"alone", "first", "beside"}


@pytest.fixture(scope="module")
def sessions() -> list[dict[str, list[str]]]:
    nox = Path(sys.executable).with_name("nox")
    output = subprocess.check_output([nox, "--list", "--json"], cwd=ROOT, text=True)
    found: list[dict[str, list[str]]] = json.loads(output)
    return found


def test_each_session_has_one_tag(sessions: list[dict[str, list[str]]]) -> None:
    assert len(sessions) > 15  # those that `nox` alone runs
    assert [each["name"] for each in sessions if len({*each["tags"]} & _IN_CI) != 1] == []


def test_ci_runs_its_tags() -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    assert set(re.findall(r"-t (\w+)", makefile.split("\ntest-all:")[1].split("\n\n")[0])) == _IN_CI
