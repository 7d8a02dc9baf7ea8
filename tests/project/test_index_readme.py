"""README.md as the package index shows it."""

from __future__ import annotations

import re

import pytest

from tests.documentation import ROOT, text
from tests.project.scripts import load

_REPOSITORY = "https://forge.test/a/b"
_absolute = load("cmake/index_readme.py").absolute


@pytest.mark.parametrize(
    ("markdown", "expected"),
    [
        ("[a](docs/a.md)", "[a](https://forge.test/a/b/blob/v1/docs/a.md)"),
        ("[a\nb](docs/a.md#part)", "[a\nb](https://forge.test/a/b/blob/v1/docs/a.md#part)"),
        ("![a](docs/a.png)", "![a](https://forge.test/a/b/raw/v1/docs/a.png)"),
        ("[a](#part)", "[a](#part)"),
        ("[a](https://other.test/c)", "[a](https://other.test/c)"),
        ("```python\na[b](c)\n```\n[a](d)", "```python\na[b](c)\n```\n[a](https://forge.test/a/b/blob/v1/d)"),
    ],
)
def test_links_and_pictures(markdown: str, expected: str) -> None:
    assert _absolute(markdown, _REPOSITORY, "v1") == expected


def test_all_links_of_ours_lead_to_files() -> None:
    readme = _absolute(text("README.md"), _REPOSITORY, "v1")
    links = re.findall(rf"\]\({_REPOSITORY}/(?:blob|raw)/v1/([^)#]+)", readme)
    assert len(links) > 10
    assert all((ROOT / link).exists() for link in links)
