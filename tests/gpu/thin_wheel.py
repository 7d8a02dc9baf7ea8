"""onnxruntime-gpu's wheel with the machine code of one architecture alone, a fifth of its size.

python -m tests.gpu.thin_wheel WHEEL THIN_WHEEL ARCHITECTURE        (90: H100 and H200)

For machines that nothing large can be brought to. What is left out: the code for other devices, TensorRT, the
C library that Python does not load, and tools that our tests do not use.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import struct
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

# Of CUDA's fat binaries: a container has entries, each with code for one architecture.
_CONTAINER = struct.Struct("<IHHQ")  # magic, version, bytes of this header, bytes of the entries
_ENTRY = struct.Struct("<HHIQIIHHI")  # kind, version, bytes of header and code, ..., architecture
_MAGIC = 0xBA55ED50
_MACHINE_CODE = 2

_SECTION = b".nv_fatbin\0"

_PROVIDER = "onnxruntime/capi/libonnxruntime_providers_cuda.so"
_LEFT_OUT = (
    "onnxruntime/capi/libonnxruntime_providers_tensorrt.so",
    "onnxruntime/capi/libonnxruntime.so",
    "onnxruntime/quantization/",
    "onnxruntime/tools/",
    "onnxruntime/transformers/",
)


class NotThinnedError(Exception):
    """A file is not what this module knows."""


@dataclass(frozen=True)
class _Container:
    header: int
    begin: int  # of its entries
    end: int
    entries: list[tuple[bool, bytes]]  # of the architecture, and the bytes with their header


def _fat_section(elf: bytearray) -> tuple[int, int]:
    """Where the containers are in a shared library."""
    (table,) = struct.unpack_from("<Q", elf, 0x28)
    size, count, names_index = struct.unpack_from("<HHH", elf, 0x3A)
    sections = [struct.unpack_from("<IIQQQQ", elf, table + i * size) for i in range(count)]
    names = sections[names_index][4]
    for name, _, _, _, offset, length in sections:
        if elf.startswith(_SECTION, names + name):
            return offset, offset + length
    raise NotThinnedError("there is no .nv_fatbin in it")


def _containers(data: bytearray, begin: int, end: int, architecture: int) -> Iterator[_Container]:
    while begin < end:
        magic, _, header, body = _CONTAINER.unpack_from(data, begin)
        if magic != _MAGIC:
            begin += 8  # padding
            continue
        at_header, first, last = begin, begin + header, begin + header + body
        entries, at = [], first
        while at < last:
            kind, _, entry_header, code, *_, of = _ENTRY.unpack_from(data, at)
            whole = bytes(data[at : at + entry_header + code])
            entries.append((kind == _MACHINE_CODE and of == architecture, whole))
            at += len(whole)
        yield _Container(at_header, first, last, entries)
        begin = last


def thin(data: bytearray, begin: int, end: int, architecture: int) -> int:
    """Keep the code of one architecture in each container between two places; returns how many had some.

    A container of one entry is left out too: such kernels are made for one device alone, as those of language
    models are, and nothing of ours runs them. Nothing moves. What is left out becomes zeros, which compress
    to nothing, and its container gets the smallest code there is, to be valid.
    """
    containers = list(_containers(data, begin, end, architecture))
    kept = [b"".join(c for wanted, c in found.entries if wanted) for found in containers]
    if not any(kept):
        raise NotThinnedError(f"it has no machine code for architecture {architecture}")
    smallest = min((code for found in containers for wanted, code in found.entries if wanted), key=len)
    for found, code in zip(containers, kept, strict=True):
        room = found.end - found.begin
        body = code if code and len(found.entries) > 1 else smallest
        if len(body) > room:
            continue  # smaller than the smallest: it stays as it is
        data[found.begin : found.end] = body + bytes(room - len(body))
        struct.pack_into("<Q", data, found.header + 8, len(body))
    return sum(bool(code) and len(found.entries) > 1 for found, code in zip(containers, kept, strict=True))


def _record_line(name: str, data: bytes) -> str:
    digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode().rstrip("=")
    return f"{name},sha256={digest},{len(data)}\n"


def write_thin_wheel(wheel: Path, result: Path, architecture: int) -> None:
    """The same package for the same Python."""
    record: list[str] = []
    packed = zipfile.ZipFile(result, "w", zipfile.ZIP_LZMA)
    with zipfile.ZipFile(wheel) as source, packed as out:
        (record_name,) = (name for name in source.namelist() if name.endswith(".dist-info/RECORD"))
        for name in source.namelist():
            if name.startswith(_LEFT_OUT) or name == record_name:
                continue
            data = source.read(name)
            if name == _PROVIDER:
                changed = bytearray(data)
                thin(changed, *_fat_section(changed), architecture)
                data = bytes(changed)
            out.writestr(name, data)
            record.append(_record_line(name, data))
        out.writestr(record_name, "".join([*record, f"{record_name},,\n"]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("wheel", type=Path)
    parser.add_argument("result", type=Path)
    parser.add_argument("architecture", type=int)
    arguments = parser.parse_args()
    write_thin_wheel(arguments.wheel, arguments.result, arguments.architecture)


if __name__ == "__main__":
    main()
