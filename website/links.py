"""Checks the built site: its own links lead to pages, files and headings; the reference has all public names.

usage: links.py FOLDER
"""

from __future__ import annotations

import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

from pages import REFERENCES, exported


class _Page(HTMLParser):
    """The links of a page, and what links can name in it."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self.names: set[str] = set()
        self.targets: list[str] = []
        self.feed(path.read_text("utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.names |= {values["id"] or ""} if "id" in values else set()
        self.targets += [values[name] or "" for name in ("href", "src") if name in values]


def _broken(page: _Page, pages: dict[Path, _Page]) -> list[str]:
    found = []
    for target in page.targets:
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = unquote(target).partition("#")
        path = (page.path.parent / name).resolve() if name else page.path
        path = path / "index.html" if path.is_dir() else path
        missing = anchor and path in pages and anchor not in pages[path].names
        if not path.exists() or missing:
            found.append(f"{page.path}: {target} leads nowhere")
    return found


def problems(folder: Path) -> list[str]:
    """Links that lead nowhere, and public names without an entry."""
    # 404.html may be shown at any address, so its links begin with the site's.
    paths = [path.resolve() for path in folder.rglob("*.html") if path.name != "404.html"]
    pages = {path: _Page(path) for path in paths}
    found = [problem for page in pages.values() for problem in _broken(page, pages)]
    for module in REFERENCES:
        names = pages[folder.resolve() / "api" / module / "index.html"].names
        found += [f"{path} has no entry" for path in exported(module).values() if path not in names]
    return found


if __name__ == "__main__":
    sys.exit("\n".join(problems(Path(sys.argv[1]))) or None)
