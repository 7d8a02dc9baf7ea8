"""python -m tests.core.modules: the modules of the package: how many, how long, and which import which.

An import counts wherever it stands: in a function and for type checkers too.
"""

from __future__ import annotations

import ast
import statistics
from collections.abc import Iterator
from pathlib import Path

_PACKAGE = Path(__file__).parents[2] / "python" / "ort_rrelu"


def module_files() -> dict[str, Path]:
    """Module name -> its file."""
    files = sorted(_PACKAGE.rglob("*.py"))
    return {_name(file): file for file in files}


def _name(file: Path) -> str:
    return ".".join(file.relative_to(_PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")


def imports() -> dict[str, set[str]]:
    """Module -> the modules that it imports; the packages that these are in are not counted."""
    files = module_files()
    return {name: set(_imported(ast.parse(file.read_text()), files)) - {name} for name, file in files.items()}


def _imported(tree: ast.Module, known: dict[str, Path]) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)
        elif isinstance(node, ast.ImportFrom) and node.module in known:
            within = (f"{node.module}.{alias.name}" for alias in node.names)
            yield from (name if name in known else node.module for name in within)


def import_lines(file: Path) -> int:
    """Lines of imports and of __all__."""
    return sum(
        1 + (node.end_lineno or node.lineno) - node.lineno
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Import | ast.ImportFrom)
        or (isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__")
    )


def _main() -> None:
    files = module_files()
    lengths = {name: len(file.read_text().splitlines()) for name, file in files.items()}
    total = sum(lengths.values())
    share = sum(map(import_lines, files.values())) / total
    print(f"{len(files)} modules, {total} lines, median {statistics.median(lengths.values()):.0f}")
    print(f"imports and __all__: {share:.1%} of the lines")
    for name in sorted(lengths, key=lambda name: -lengths[name]):
        readers = sorted(other for other, found in imports().items() if name in found)
        print(f"{lengths[name]:4d} {name} <- {' '.join(readers)}")


if __name__ == "__main__":
    _main()
