"""What a wheel gets after it is built: the licences of what it contains beside our code, and older names.

It is written anew with one date for all files, in the order that it had.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import time
import zipfile
from collections.abc import Iterable
from pathlib import Path

from wheels.targets import Target

Moment = tuple[int, int, int, int, int, int]


def finish(wheel: Path, target: Target, licences: dict[str, str], date: int) -> Path:
    """Put licences and tags into a wheel. Returns its new path: the name has the tags."""
    with zipfile.ZipFile(wheel) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
        modes = {info.filename: info.external_attr for info in archive.infolist()}
    (record,) = (name for name in files if name.endswith(".dist-info/RECORD"))
    info = record.removesuffix("/RECORD")
    del files[record]
    for name, text in licences.items():
        files[f"{info}/licenses/{name}"] = text.encode()
    files[f"{info}/METADATA"] = _with_headers(files[f"{info}/METADATA"], "License-File", licences)
    files[f"{info}/WHEEL"] = _with_headers(
        files[f"{info}/WHEEL"], "Tag", (f"py3-none-{tag}" for tag in target.older_tags)
    )
    files[record] = _record(record, files)
    wheel.unlink()
    path = wheel.with_name(wheel.name.replace(target.tag, ".".join((target.tag, *target.older_tags))))
    _write(path, files, {name: modes.get(name, modes[record]) for name in files}, time.gmtime(date)[:6])
    return path


def _write(path: Path, files: dict[str, bytes], modes: dict[str, int], moment: Moment) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            entry = zipfile.ZipInfo(name, moment)
            entry.external_attr = modes[name]
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, content)


def _with_headers(text: bytes, name: str, values: Iterable[str]) -> bytes:
    headers, blank, body = text.decode().partition("\n\n")
    more = "".join(f"\n{name}: {value}" for value in values)
    return (headers.rstrip("\n") + more + (blank or "\n") + body).encode()


def _record(name: str, files: dict[str, bytes]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    for path, content in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
        writer.writerow((path, f"sha256={digest}", len(content)))
    writer.writerow((name, "", ""))
    return text.getvalue().encode()
