"""The entry point of the command line; its verbs are in commands/, one a file."""

from __future__ import annotations

import sys

_NEEDED = {"rich", "typer"}


def main() -> None:
    """Run `ort-rrelu`; what the command line itself needs may be missing, and is then named."""
    try:
        from ort_rrelu.commands import app
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in _NEEDED:
            raise
        print(
            f"error: {missing}, which the command line needs, is not installed: pip install 'ort-rrelu[cli]'",
            file=sys.stderr,
        )
        sys.exit(2)
    app(prog_name="ort-rrelu")
