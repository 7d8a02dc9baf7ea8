"""Which tags may be released."""

from __future__ import annotations

import pytest

from tests.documentation import text
from tests.project.scripts import load

_PYPROJECT = """
[project]
version = "1.2.3"
[project.urls]
Repository = "https://forge.test/a/b"
Issues = "https://forge.test/a/b/issues"
"""
_CHANGELOG = "# Changelog\n\n## 1.2.3, 2030-01-31\n\nNew:\n\n## 1.2.2, 2029-01-31\n"
_obstacles = load(".ci/release_check.py").obstacles


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
