"""Where exporters and tools write: whole files, and nothing in the place of what is no file."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from ort_rrelu.files import check_target, replacing


def _write(path: Path, text: str) -> None:
    with replacing(path) as temporary:
        temporary.write_text(text)


def test_pipe_stays_one(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(FileExistsError, match=r"pipe is a device or a pipe: name a file"):
        _write(pipe, "new")
    assert stat.S_ISFIFO(pipe.stat().st_mode)


def test_devices_are_refused_before_the_work() -> None:
    with pytest.raises(FileExistsError, match="/dev/full is a device"):
        check_target("/dev/full")


@pytest.mark.parametrize("before", ["old", None], ids=["to a file", "to nothing yet"])
def test_what_a_link_points_to_is_written(tmp_path: Path, before: str | None) -> None:
    folder = tmp_path / "models"
    folder.mkdir()
    if before:
        (folder / "net").write_text(before)
    link = tmp_path / "link"
    link.symlink_to(folder / "net")
    _write(link, "new")
    assert link.is_symlink()
    assert (folder / "net").read_text() == "new"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "models"]


def test_failure_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "net"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError), replacing(path) as temporary:
        temporary.write_text("half")
        raise ZeroDivisionError
    assert [p.name for p in tmp_path.iterdir()] == ["net"]
    assert path.read_text() == "old"
