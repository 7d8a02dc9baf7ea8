"""Checks the built site: its links lead to pages, files and headings; the reference has all public names.

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


# Of a class in the reference: its name, and whether the signature of its constructor follows.
_CLASS = re.compile(r'doc-class">\s*<h\d id="([^"]+)".*?</h\d>\s*(<div class="doc-signature)?', re.DOTALL)
_CONSTRUCTED = ("InferenceSession", "RReLU", "Trainer")


def _without_signature(page: _Page) -> list[str]:
    classes = dict(_CLASS.findall(page.path.read_text("utf-8")))
    return [
        f"{page.path}: {name} has no signature"
        for name, signature in classes.items()
        if name.endswith(_CONSTRUCTED) and not signature
    ]


def problems(folder: Path) -> list[str]:
    """Links that lead nowhere, public names without an entry, and classes that do not say how to make one."""
    # 404.html may be shown at any address, so its links begin with the site's.
    paths = [path.resolve() for path in folder.rglob("*.html") if path.name != "404.html"]
    pages = {path: _Page(path) for path in paths}
    found = [problem for page in pages.values() for problem in _broken(page, pages)]
    for module in REFERENCES:
        page = pages[folder.resolve() / "api" / module / "index.html"]
        found += [f"{path} has no entry" for path in exported(module).values() if path not in page.names]
        found += _without_signature(page)
    return found


if __name__ == "__main__":
    sys.exit("\n".join(problems(Path(sys.argv[1]))) or None)
