"""What every verb prints: tables, JSON, errors."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from traceback import print_exception
from typing import Any, TypeVar

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.progress import track
from rich.table import Table

_Item = TypeVar("_Item")


def _console(*, stderr: bool = False) -> Console:
    # Names in models are free text: brackets in them are no markup, ":x:" no emoji, digits need no colours.
    return Console(stderr=stderr, markup=False, highlight=False, emoji=False)


def _printable(text: str) -> str:
    """Without control characters, which in a name would reach the terminal; lines stay lines."""
    return "".join(c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in text)


def example(command: str) -> str:
    """A command as the help texts show it."""
    return f"[bold]{escape(command)}[/bold]"


def print_line(text: str = "", style: str | None = None) -> None:
    """One line, never broken: what follows it on a terminal wraps it, and pipes keep it whole."""
    _console().print(text, style=style, soft_wrap=True)


def print_error(error: Exception, *, traceback: bool = False) -> None:
    """`error: ...` on stderr, on one line, below the traceback when that is wanted."""
    console = _console(stderr=True)
    if traceback:
        print_exception(error)
    console.print("error:", style="bold red", end=" ")
    console.print(_printable(" ".join(_message(error).split())), soft_wrap=True)


def _message(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return str(error)


def print_json(value: Any) -> None:
    """JSON on stdout; NaN and infinities, which JSON lacks, as the strings "NaN", "Infinity", "-Infinity"."""
    print(json.dumps(_finite(value), indent=2, allow_nan=False))


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    if not isinstance(value, float) or math.isfinite(value):
        return value
    return json.dumps(value)


def number(value: float | None) -> str:
    """A number as the tables show it: four digits of a float, all of an integer."""
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def print_table(
    title: str, columns: Sequence[str], rows: Iterable[Sequence[str]], *, right: Collection[str] = ()
) -> None:
    """An empty line, a title and a table; the columns in `right` stand on the right and are never broken."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0))
    for column in columns:
        numeric = column in right
        table.add_column(
            column,
            justify="right" if numeric else "left",
            no_wrap=numeric,
            overflow="fold",
            header_style="dim",
        )
    for row in rows:
        table.add_row(*map(_printable, row))
    print_line()
    print_line(title, style="bold")
    _console().print(table)


def print_facts(facts: dict[str, str]) -> None:
    """An empty line, then names and values side by side."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in facts.items():
        grid.add_row(name, _printable(value))
    print_line()
    _console().print(grid)


def progress(items: Sequence[_Item], what: str, *, quiet: bool) -> Iterable[_Item]:
    """The items, with a bar on stderr while they are worked on; none where stderr is no terminal.

    It is drawn between the items, not by a thread, which would disturb what is timed.
    """
    console = _console(stderr=True)
    if quiet or not console.is_terminal:
        return items
    return track(items, what, console=console, transient=True, auto_refresh=False)


@contextmanager
def working(what: str, *, quiet: bool) -> Iterator[None]:
    """A spinner on stderr during the block; none where stderr is no terminal."""
    console = _console(stderr=True)
    if quiet or not console.is_terminal:
        yield
        return
    with console.status(what):
        yield
