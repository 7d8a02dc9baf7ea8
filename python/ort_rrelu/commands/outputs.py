"""What a verb may write to."""

from __future__ import annotations

from pathlib import Path

from ort_rrelu.errors import Error
from ort_rrelu.files import check_target

__all__ = ["OutputExistsError", "check_output"]


class OutputExistsError(Error, FileExistsError):
    """The output exists, and nobody said that it may be replaced."""


def check_output(output: Path, *, force: bool, source: Path | None = None) -> None:
    """Raise OSError when `output` cannot be written, or exists, is not `source` and there is no `force`."""
    check_target(output)
    if output.exists() and not force and not (source is not None and output.resolve() == source.resolve()):
        raise OutputExistsError(f"{output} exists: --force replaces it")
