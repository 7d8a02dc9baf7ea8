"""Files written under a temporary name beside their target and renamed: all of it or nothing."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["check_target", "replacing"]


def check_target(path: str | os.PathLike[str]) -> None:
    """Raise OSError unless a file can be written at `path`; to be asked before the work that fills it."""
    target = Path(path)
    folder = target.resolve().parent
    if target.is_dir():
        raise IsADirectoryError(f"{target} is a folder: name a file")
    if target.exists() and not target.is_file():
        raise FileExistsError(f"{target} is a device or a pipe: name a file, which can be replaced")
    if not folder.is_dir():
        raise FileNotFoundError(f"there is no folder {folder} to write {target.name} into")
    if not os.access(folder, os.W_OK):
        raise PermissionError(f"no permission to write into {folder}")


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A name to write to; what lies there at the end of the block, files beside it included, takes its place.

    When the block raises, nothing of it is left, and a file that was at `path` stays as it was. A symbolic
    link stays one: what it points to is replaced.
    """
    check_target(path)
    target = Path(path).resolve()
    with tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent) as folder:
        yield Path(folder) / target.name
        # Files beside the target, such as a model's weights, before the target that names them.
        for file in sorted(Path(folder).iterdir(), key=lambda file: file.name == target.name):
            file.replace(target.parent / file.name)
