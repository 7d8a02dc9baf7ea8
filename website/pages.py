"""The pages of the site, as MkDocs' hooks: the repository's own, by their places there, and the reference.

The pages are written to be read in the repository. So they keep their places, and their links to each
other work as they are; a link to any other file leads to the repository.
"""

from __future__ import annotations

import ast
import importlib.util
import posixpath
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import cast

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]
_PATTERNS = (
    *("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "docs/*.md", "ops/*.md", "models/*/README.md"),
    *("docs/*.png", "docs/*.json"),
)
_PACKAGES = ("graph", "torch", "paddle", "tensorflow", "training", "serving")
REFERENCES = ("ort_rrelu", *(f"ort_rrelu.{name}" for name in (*_PACKAGES, "reference")))


def exported(module: str) -> dict[str, str]:
    """What a package's __init__.py exports, at once or on first access: name -> the object for mkdocstrings.

    That is where it is defined, if the package has a module of the same name, which mkdocstrings would take.
    """
    path = ROOT / "python" / Path(*module.split("."), "__init__.py")
    if not path.exists():
        return {}  # of a module, mkdocstrings finds them
    imported: dict[str, str] = {}
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom):
            imported |= {alias.name: node.module or "" for alias in node.names}
            names |= {alias.name for alias in node.names if alias.asname == alias.name}
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            names |= set(ast.literal_eval(node.value))
    modules = {file.stem for file in path.parent.iterdir()}
    return {
        name: f"{imported[name] if name in modules else module}.{name}"
        for name in sorted(names)
        if imported.get(name) != module
    }


def reference(module: str) -> str:
    """The page of a package or another module."""
    names = exported(module)
    options = "show_root_heading: false, show_root_toc_entry: false" + ", members: false" * bool(names)
    parts = [f"# {module}\n\n::: {module}\n    options: {{ {options} }}\n"]
    for name, path in names.items():
        parts.append(f"::: {path}\n    options: {{ heading: {module}.{name}, toc_label: {name} }}\n")
    return "\n".join(parts)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Instead of the files of docs/ alone."""
    for file in list(files):
        if file.src_dir == config.docs_dir:
            files.remove(file)
    for path in sorted(path for pattern in _PATTERNS for path in ROOT.glob(pattern)):
        files.append(File.generated(config, path.relative_to(ROOT).as_posix(), abs_src_path=str(path)))
    files.append(File.generated(config, "site.css", abs_src_path=str(ROOT / "website" / "site.css")))
    for name in REFERENCES:
        files.append(File.generated(config, f"api/{name}.md", content=reference(name)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Links to files that are not in the site lead to the repository."""
    folder = posixpath.dirname(page.file.src_uri)

    def link(target: str) -> str:
        path = posixpath.normpath(posixpath.join(folder, target.partition("#")[0]))
        if files.get_file_from_path(path) or not (ROOT / path).exists():
            return target
        return f"{_REPOSITORY}/{'tree' if (ROOT / path).is_dir() else 'blob'}/main/{path}"

    return _relinked(markdown, link)


def _relinker() -> Callable[[str, Callable[[str], str]], str]:
    spec = importlib.util.spec_from_file_location("index_readme", ROOT / "cmake" / "index_readme.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return cast(Callable[[str, Callable[[str], str]], str], module.relinked)


_relinked = _relinker()
_REPOSITORY = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["urls"]["Repository"]
