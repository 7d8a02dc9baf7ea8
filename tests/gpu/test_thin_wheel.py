"""The wheel that keeps the code of one architecture, on a small wheel that is made here."""

from __future__ import annotations

import base64
import hashlib
import struct
import zipfile
from pathlib import Path

import pytest

from tests.gpu import thin_wheel

_PTX, _CODE = 1, 2
_PROVIDER = "onnxruntime/capi/libonnxruntime_providers_cuda.so"


def _entry(architecture: int, size: int, kind: int = _CODE) -> bytes:
    header = struct.pack("<HHIQIIHHI", kind, 0x101, 64, size, 0, 0, 0, 0, architecture).ljust(64, b"\0")
    return header + bytes([architecture]) * size


def _container(*entries: bytes) -> bytes:
    body = b"".join(entries)
    return struct.pack("<IHHQ", 0xBA55ED50, 1, 16, len(body)) + body


_BOTH = _container(_entry(80, 800), _entry(90, 400), _entry(90, 960, _PTX))
_OTHER = _container(_entry(80, 480), _entry(120, 480))
_ALONE = _container(_entry(90, 640))
_TINY = _container(_entry(80, 8))
_FAT = _BOTH + b"\0" * 24 + _OTHER + _ALONE + _TINY


def _entries(data: bytes | bytearray) -> list[list[tuple[int, int]]]:
    """Architecture and bytes of code of each entry, as the loader of CUDA walks the containers."""
    found, at = [], 0
    while at < len(data):
        magic, _, header, body = struct.unpack_from("<IHHQ", data, at)
        if magic != 0xBA55ED50:
            at += 8
            continue
        at, end, entries = at + header, at + header + body, []
        while at < end:
            _, _, entry_header, size, *_, architecture = struct.unpack_from("<HHIQIIHHI", data, at)
            assert set(data[at + entry_header : at + entry_header + size]) == {architecture}
            entries.append((architecture, size))
            at += entry_header + size
        found.append(entries)
    return found


def test_each_container_keeps_the_code_of_one_architecture_and_its_place() -> None:
    data = bytearray(_FAT)
    assert thin_wheel.thin(data, 0, len(data), 90) == 1
    assert _entries(data) == [[(90, 400)], [(90, 400)], [(90, 400)], [(80, 8)]]
    assert len(data) == len(_FAT)
    for place in (len(_BOTH) + 24, len(_BOTH) + 24 + len(_OTHER)):
        assert data[place : place + 4] == _FAT[:4]


def test_an_architecture_that_is_not_there_is_refused() -> None:
    with pytest.raises(thin_wheel.NotThinnedError, match="no machine code for architecture 75"):
        thin_wheel.thin(bytearray(_FAT), 0, len(_FAT), 75)


def _elf(section: bytes) -> bytes:
    """A shared library of one section, as far as the tables go."""
    names = b"\0.nv_fatbin\0.shstrtab\0"
    fat, strings = 64, 64 + len(section)
    table = strings + len(names)
    header = bytearray(64)
    struct.pack_into("<Q", header, 0x28, table)
    struct.pack_into("<HHH", header, 0x3A, 64, 3, 2)
    rows = [(0, 0, 0), (1, fat, len(section)), (12, strings, len(names))]
    sections = [
        struct.pack("<IIQQQQ", name, 1, 0, 0, offset, size).ljust(64, b"\0") for name, offset, size in rows
    ]
    return bytes(header) + section + names + b"".join(sections)


def test_the_wheel_is_one_for_pip(tmp_path: Path) -> None:
    record = "onnxruntime_gpu-1.dist-info/RECORD"
    files = {
        "onnxruntime/__init__.py": b"version = 1\n",
        "onnxruntime/capi/libonnxruntime_providers_tensorrt.so": b"large",
        "onnxruntime/capi/libonnxruntime.so.1.31.1": b"large",
        _PROVIDER: _elf(_FAT),
    }
    whole, thin = tmp_path / "whole.whl", tmp_path / "thin.whl"
    with zipfile.ZipFile(whole, "w") as out:
        for name, data in {**files, record: b"of the whole"}.items():
            out.writestr(name, data)
    thin_wheel.write_thin_wheel(whole, thin, 90)
    with zipfile.ZipFile(thin) as made:
        assert made.namelist() == ["onnxruntime/__init__.py", _PROVIDER, record]
        provider = made.read(_PROVIDER)
        lines = made.read(record).decode().splitlines()
    assert len(provider) == len(files[_PROVIDER])
    assert _entries(provider[64 : 64 + len(_FAT)])[0] == [(90, 400)]
    digest = base64.urlsafe_b64encode(hashlib.sha256(provider).digest()).decode().rstrip("=")
    assert lines[1:] == [f"{_PROVIDER},sha256={digest},{len(provider)}", f"{record},,"]
