"""The sessions of nox: CI takes them by their tags, and would not miss one without."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.documentation import ROOT
from tests.environments.cmake import found_by_cmake as found

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


def test_native_sources_are_where_cmake_found_them(tmp_path: Path) -> None:
    """An installed copy too, which is in no folder of the build."""
    assert found(tmp_path) == {}
    (tmp_path / "onnxruntime_c_api.h").touch()
    lines = [f"ORT_RRELU_FOUND_{name}:INTERNAL={tmp_path}\n" for name in ("onnxruntime", "highway")]
    (tmp_path / "CMakeCache.txt").write_text("".join(lines))
    assert found(tmp_path) == {"ONNXRUNTIME_INCLUDE_DIR": str(tmp_path)}
    (tmp_path / "hwy").mkdir()
    (tmp_path / "hwy" / "targets.cc").touch()
    assert found(tmp_path) == {"ONNXRUNTIME_INCLUDE_DIR": str(tmp_path), "HIGHWAY_SOURCE_DIR": str(tmp_path)}
