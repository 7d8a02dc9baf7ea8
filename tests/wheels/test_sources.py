"""What `make wheels` compares: wheels of equal sources, headers and tools must have equal bytes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from wheels import sources

_HEADER = "onnxruntime_c_api.h"


@pytest.fixture
def native(tmp_path: Path) -> dict[str, str]:
    """Installed headers among others, and Highway."""
    headers, highway = tmp_path / "include", tmp_path / "highway"
    headers.mkdir()
    (highway / "hwy" / "ops").mkdir(parents=True)
    for name in (_HEADER, "onnxruntime_more.h", "stdio.h"):
        (headers / name).write_text(name)
    for name in ("hwy/targets.cc", "hwy/ops/generic.h", "README.md"):
        (highway / name).write_text(name)
    return {"ONNXRUNTIME_INCLUDE_DIR": str(headers), "HIGHWAY_SOURCE_DIR": str(highway)}


@pytest.fixture(autouse=True)
def _date(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")


def _digest(native: dict[str, str], folder: Path) -> str:
    sources.native_copied(native, folder)
    (sources.own(folder) / "ops").mkdir(parents=True)
    (sources.own(folder) / "ops" / "rrelu.cc").write_text("ours")
    return sources.digest(folder, ["pytest"])


def test_only_what_is_used_is_copied(native: dict[str, str], tmp_path: Path) -> None:
    copies = sources.native_copied(native, tmp_path / "build")
    assert copies == sources.native_copies(tmp_path / "build")
    files = {
        path.relative_to(folder).as_posix()
        for folder in map(Path, copies.values())
        for path in folder.rglob("*")
        if path.is_file()
    }
    assert files == {_HEADER, "onnxruntime_more.h", "hwy/targets.cc", "hwy/ops/generic.h"}


def test_equal_sources_have_one_digest_wherever_they_are(native: dict[str, str], tmp_path: Path) -> None:
    assert _digest(native, tmp_path / "first") == _digest(native, tmp_path / "second")


@pytest.mark.parametrize(
    ("variable", "name"), [("ONNXRUNTIME_INCLUDE_DIR", _HEADER), ("HIGHWAY_SOURCE_DIR", "hwy/ops/generic.h")]
)
def test_other_headers_are_other_sources(
    variable: str, name: str, native: dict[str, str], tmp_path: Path
) -> None:
    before = _digest(native, tmp_path / "before")
    Path(native[variable], name).write_text("of another release")
    assert _digest(native, tmp_path / "after") != before


def test_a_folder_without_the_headers_is_named(native: dict[str, str], tmp_path: Path) -> None:
    native["ONNXRUNTIME_INCLUDE_DIR"] = str(tmp_path)
    message = f"-D ONNXRUNTIME_INCLUDE_DIR={tmp_path} has no {_HEADER}"
    with pytest.raises(FileNotFoundError, match=f"^{re.escape(message)}$"):
        sources.native_copied(native, tmp_path / "build")
