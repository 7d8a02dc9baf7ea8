"""Files written or copied under a temporary name beside their target and renamed: all of it or nothing."""

from __future__ import annotations

import errno
import filecmp
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

_CHUNK = 2**24


def check_target(path: str | os.PathLike[str]) -> None:
    """Raise OSError unless a file can be written at `path`; to be asked before the work that fills it."""
    target = Path(path)
    folder = target.resolve().parent
    if target.is_dir():
        raise IsADirectoryError(f"{os.fspath(path) or 'an empty path'} is a folder: name a file")
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


@contextmanager
def copied(copies: Mapping[Path, Path]) -> Iterator[None]:
    """Copies, target -> source, which stay unless the block raises; missing folders are made.

    Copies, not links: exporters write weights over a file in place. A target that has the same bytes already
    stays. Raises FileExistsError when it has others, OSError as the file system does.
    """
    wanted = {target: source for target, source in copies.items() if not _is_there(target, source)}
    made: list[Path] = []
    try:
        for target, source in wanted.items():
            made += _make_folders(target.parent)
            with tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent) as folder:
                temporary = Path(folder) / target.name
                _copy(source, temporary)
                temporary.rename(target)
            made.append(target)
        yield
    except BaseException:
        for path in reversed(made):
            path.rmdir() if path.is_dir() else path.unlink()
        raise


def _is_there(target: Path, source: Path) -> bool:
    if not target.exists():
        return False
    if target.is_file() and (target.samefile(source) or filecmp.cmp(target, source, shallow=False)):
        return True
    raise FileExistsError(f"{target} exists, and is not the same as {source}: it is not replaced")


def _make_folders(folder: Path) -> list[Path]:
    missing = [each for each in (folder, *folder.parents) if not each.exists()][::-1]
    for each in missing:
        each.mkdir()
    return missing


def _copy(source: Path, target: Path) -> None:
    """A piece at a time; holes of a sparse file stay holes."""
    with source.open("rb", buffering=0) as read, target.open("xb", buffering=0) as written:
        size = os.fstat(read.fileno()).st_size
        for start, end in _pieces(read.fileno(), size):
            read.seek(start)
            written.seek(start)
            while start < end and (data := read.read(min(_CHUNK, end - start))):
                written.write(data)
                start += len(data)
        written.truncate(size)


def _pieces(file: int, size: int) -> Iterator[tuple[int, int]]:
    """Where a file has data: begin and end of each piece."""
    if not hasattr(os, "SEEK_DATA"):  # Windows
        yield 0, size
        return
    end = 0
    while end < size:
        try:
            start = os.lseek(file, end, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:  # a hole up to the end
                return
            raise
        end = os.lseek(file, start, os.SEEK_HOLE)
        yield start, end
