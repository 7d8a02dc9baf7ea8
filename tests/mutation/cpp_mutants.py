"""Bugs for C++ sources: one operator, number or condition of a line changed at a time."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from tests.mutation.python_mutants import Mutant

_CHANGES: list[tuple[str, str | Callable[[re.Match[str]], str], str]] = [
    (r" < (?=[\w(])", " <= ", "comparison"),
    (r" <= ", " < ", "comparison"),
    (r" > (?=[\w(])", " >= ", "comparison"),
    (r" >= ", " > ", "comparison"),
    (r" == ", " != ", "comparison"),
    (r" != ", " == ", "comparison"),
    (r" && ", " || ", "and, or"),
    (r" \|\| ", " && ", "and, or"),
    (r" \+ (?=\w)", " - ", "arithmetic"),
    (r" - (?=\w)", " + ", "arithmetic"),
    (r" >> ", " << ", "arithmetic"),
    (r"(?<=[ (\[])!(?=\w)", "", "no not"),
    (r"(?<=[ (\[])(\d+)(?=[;,)\] ])", lambda found: str(int(found[1]) + 1), "number"),
    (r"\btrue\b", "false", "switch"),
    (r"\bfalse\b", "true", "switch"),
]
_LEFT_OUT = re.compile(r"^\s*(//|#|\*|template|using|static_assert|namespace|typedef)|\boperator\b|extern")


def mutants(source: str) -> Iterator[Mutant]:
    """Every bug that this file knows; none in comments, texts, preprocessor lines and templates' heads."""
    start = 0
    source = re.sub(r"/\*.*?\*/", lambda comment: re.sub(".", " ", comment[0]), source, flags=re.S)
    for number, line in enumerate(source.splitlines(keepends=True), 1):
        code = re.sub(r'"(\\.|[^"\\])*"', lambda text: " " * len(text[0]), line.partition("//")[0])
        if not _LEFT_OUT.search(line):
            for pattern, text, what in _CHANGES:
                for found in re.finditer(pattern, code):
                    new = text(found) if callable(text) else text
                    yield Mutant(number, start + found.start(), start + found.end(), new, what)
        start += len(line)
