"""README.md as the package index shows it: links and pictures lead to the repository, at the release's tag.

scikit-build-core calls `dynamic_metadata` for every sdist and wheel; pyproject.toml says so.
"""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

_CODE = re.compile(r"(^```.*?^```$)", re.M | re.S)
_TARGET = re.compile(r"\]\((?![a-z]+:|#)([^)\s]+)\)")


def relinked(text: str, link: Callable[[str], str]) -> str:
    """A page with other targets of its relative links and pictures; blocks of code stay as they are."""

    def replaced(part: str) -> str:
        return part if part.startswith("```") else _TARGET.sub(lambda found: f"]({link(found[1])})", part)

    return "".join(replaced(part) for part in _CODE.split(text))


def absolute(text: str, repository: str, tag: str) -> str:
    """A page of the repository's root with absolute links, but for those within the page."""

    def link(target: str) -> str:
        return f"{repository}/{'raw' if target.endswith('.png') else 'blob'}/{tag}/{target}"

    return relinked(text, link)


def dynamic_metadata(_settings: Mapping[str, Any], project: Mapping[str, Any]) -> dict[str, Any]:
    """The field `readme` of pyproject.toml's project."""
    try:
        text = Path("README.md").read_text("utf-8")
    except FileNotFoundError:
        raise SystemExit(
            f"README.md is missing in {Path.cwd()}: it is the description of the package. "
            "Unpack the archive again, or check the file out."
        ) from None
    text = absolute(text, project["urls"]["Repository"], f"v{project['version']}")
    return {"readme": {"content-type": "text/markdown", "text": text}}
