"""What `make wheels` does to a wheel after it is built, on a small one."""

from __future__ import annotations

import base64
import csv
import hashlib
import zipfile
from pathlib import Path

import pytest

from wheels.finishing import finish
from wheels.targets import LINUX_X86_64

_INFO = "ort_rrelu-1.dist-info"
_DATE = 1_700_000_000
_LICENCES = {"llvm/LICENSE": "of LLVM\n", "zig/LICENSE": "of zig\n"}
_FILES = {
    "ort_rrelu/__init__.py": "",
    f"{_INFO}/METADATA": "Metadata-Version: 2.4\nName: rrelu\nLicense-File: LICENSE\n\nIts text.\n\nMore.\n",
    f"{_INFO}/WHEEL": f"Wheel-Version: 1.0\nTag: py3-none-{LINUX_X86_64.tag}\n\n",
    f"{_INFO}/licenses/LICENSE": "ours\n",
    f"{_INFO}/RECORD": "out of date\n",
}


def _finished(folder: Path) -> Path:
    path = folder / f"ort_rrelu-1-py3-none-{LINUX_X86_64.tag}.whl"
    folder.mkdir()
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in _FILES.items():
            archive.writestr(name, text)
    finished = finish(path, LINUX_X86_64, _LICENCES, _DATE)
    assert list(folder.iterdir()) == [finished]
    return finished


@pytest.fixture
def wheel(tmp_path: Path) -> zipfile.ZipFile:
    return zipfile.ZipFile(_finished(tmp_path / "wheel"))


def _text(wheel: zipfile.ZipFile, name: str) -> str:
    return wheel.read(f"{_INFO}/{name}").decode()


def test_licences_are_there_and_in_the_metadata(wheel: zipfile.ZipFile) -> None:
    headers, _, body = _text(wheel, "METADATA").partition("\n\n")
    assert headers.splitlines()[2:] == [
        "License-File: LICENSE",
        "License-File: llvm/LICENSE",
        "License-File: zig/LICENSE",
    ]
    assert body == "Its text.\n\nMore.\n"
    for name, text in {"LICENSE": "ours\n", **_LICENCES}.items():
        assert _text(wheel, f"licenses/{name}") == text


def test_name_and_tags_are_of_old_and_new_pips(wheel: zipfile.ZipFile) -> None:
    tags = (LINUX_X86_64.tag, "manylinux2014_x86_64")
    assert Path(str(wheel.filename)).name == f"ort_rrelu-1-py3-none-{'.'.join(tags)}.whl"
    lines = _text(wheel, "WHEEL").splitlines()
    assert [line for line in lines if line.startswith("Tag")] == [f"Tag: py3-none-{tag}" for tag in tags]


def test_record_has_the_digest_of_each_file(wheel: zipfile.ZipFile) -> None:
    rows = {row[0]: row[1:] for row in csv.reader(_text(wheel, "RECORD").splitlines())}
    assert set(rows) == set(wheel.namelist())
    assert rows.pop(f"{_INFO}/RECORD") == ["", ""]
    for name, (digest, size) in rows.items():
        content = wheel.read(name)
        expected = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
        assert (digest, size) == (f"sha256={expected}", str(len(content)))


def test_all_files_have_the_date_of_the_sources(wheel: zipfile.ZipFile) -> None:
    assert {info.date_time for info in wheel.infolist()} == {(2023, 11, 14, 22, 13, 20)}


def test_bytes_repeat(tmp_path: Path) -> None:
    first, second = _finished(tmp_path / "first"), _finished(tmp_path / "second")
    assert first.read_bytes() == second.read_bytes()
