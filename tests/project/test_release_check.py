"""Which tags may be released."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.documentation import ROOT, text
from tests.project.scripts import load

_PYPROJECT = """
[project]
version = "1.2.3"
[project.urls]
Repository = "https://forge.test/a/b"
Issues = "https://forge.test/a/b/issues"
"""
_CHANGELOG = "# Changelog\n\n## 1.2.3, 2030-01-31\n\nNew:\n\n## 1.2.2, 2029-01-31\n"
_script = load(".ci/release_check.py")
_obstacles = _script.obstacles


def test_the_version_with_its_day_in_the_changelog() -> None:
    assert _obstacles("v1.2.3", _PYPROJECT, _CHANGELOG) == []


@pytest.mark.parametrize("tag", ["1.2.3", "v1.2.4", "v1.2.3rc1", ""])
def test_a_tag_that_differs(tag: str) -> None:
    (obstacle,) = _obstacles(tag, _PYPROJECT, _CHANGELOG)
    assert obstacle.startswith(f"the tag is {tag}, but pyproject.toml has version 1.2.3: tag v1.2.3")


@pytest.mark.parametrize(
    "heading", ["## After 1.2.3, unreleased", "## 1.2.3, unreleased", "## 1.2.2, 2029-01-31", "no heading"]
)
def test_a_changelog_that_is_not_ready(heading: str) -> None:
    (obstacle,) = _obstacles("v1.2.3", _PYPROJECT, f"# Changelog\n\n{heading}\n")
    assert obstacle.startswith("CHANGELOG.md begins with ")


@pytest.mark.parametrize("day", ["2030-02-30", "2030-13-01", "0000-01-01"])
def test_a_day_that_is_in_no_calendar(day: str) -> None:
    (obstacle,) = _obstacles("v1.2.3", _PYPROJECT, f"## 1.2.3, {day}\n")
    assert obstacle == f"CHANGELOG.md says {day}, which is no day: write the day of the release"


@pytest.mark.parametrize("removed", ["Repository =", "[project.urls]"])
def test_there_is_no_address(removed: str) -> None:
    before, _, after = _PYPROJECT.partition(removed)
    pyproject = before + (after.partition("\n")[2] if removed.startswith("R") else "")
    (obstacle,) = _obstacles("v1.2.3", pyproject, _CHANGELOG)
    assert obstacle == "[project.urls] of pyproject.toml has no Repository: write its address there"


def test_an_address_that_is_a_placeholder() -> None:
    (obstacle,) = _obstacles("v1.2.3", _PYPROJECT.replace("forge.test", "example.org"), _CHANGELOG)
    assert obstacle.startswith("the repository https://example.org/a/b is a placeholder")


def test_an_address_elsewhere() -> None:
    (obstacle,) = _obstacles("v1.2.3", _PYPROJECT.replace("a/b/issues", "a/c/issues"), _CHANGELOG)
    assert obstacle.startswith("Issues of [project.urls] is https://forge.test/a/c/issues")


def test_our_own_files_are_read() -> None:
    found = _obstacles("v0", text("pyproject.toml"), text("CHANGELOG.md"))
    assert any("the tag is v0, " in obstacle for obstacle in found)
    assert not any("[project.urls] is" in obstacle for obstacle in found)


def _git(folder: Path, *words: str) -> None:
    identity = ("-c", "user.name=a", "-c", "user.email=a@b.test", "-c", "commit.gpgsign=false")
    subprocess.run(["git", *identity, *words], cwd=folder, check=True, capture_output=True)


def test_a_commit_must_be_on_the_branch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    _git(tmp_path, "init", "-q", "-b", "main")
    _git(tmp_path, "commit", "--allow-empty", "-m", "first")
    _git(tmp_path, "branch", "older")
    _git(tmp_path, "commit", "--allow-empty", "-m", "second")
    assert _script.off_branch("main") == []
    (obstacle,) = _script.off_branch("older")
    assert obstacle.startswith("its commit is not on older: ")
    (obstacle,) = _script.off_branch("nowhere")
    assert obstacle.startswith("whether its commit is on nowhere is not known: ")


def test_files_that_are_not_there_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pyproject.toml").write_text(_PYPROJECT)
    with pytest.raises(SystemExit, match=r"^there is no CHANGELOG\.md in .*: run this in the root"):
        _script.main("v1.2.3")


def test_make_expands_nothing_in_a_tag(tmp_path: Path) -> None:
    tag = f"v$(shell touch {tmp_path}/made)$(touch {tmp_path}/made)"
    command = ["make", "-s", "-C", str(ROOT), "release-check", f"PYTHON={sys.executable}"]
    env = os.environ | {"TAG": tag}
    result = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert result.stderr.startswith(f"{tag} cannot be released:")
    assert list(tmp_path.iterdir()) == []
