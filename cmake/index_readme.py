"""README.md as the package index shows it: links and pictures lead to the repository, at the release's tag.

scikit-build-core calls `dynamic_metadata` for every sdist and wheel; pyproject.toml says so.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_CODE = re.compile(r"(^```.*?^```$)", re.M | re.S)
_TARGET = re.compile(r"\]\((?![a-z]+:|#)([^)\s]+)\)")


def absolute(text: str, repository: str, tag: str) -> str:
    """A page of the repository's root with absolute links, but for those within the page."""

    def link(found: re.Match[str]) -> str:
        kind = "raw" if found[1].endswith(".png") else "blob"
        return f"]({repository}/{kind}/{tag}/{found[1]})"

    parts = _CODE.split(text)
    return "".join(part if part.startswith("```") else _TARGET.sub(link, part) for part in parts)


def dynamic_metadata(_settings: Mapping[str, Any], project: Mapping[str, Any]) -> dict[str, Any]:
    """The field `readme` of pyproject.toml's project."""
    text = Path("README.md").read_text("utf-8")
    text = absolute(text, project["urls"]["Repository"], f"v{project['version']}")
    return {"readme": {"content-type": "text/markdown", "text": text}}
