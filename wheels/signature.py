"""The code signature of a macOS library: the linker's, without a certificate, right for every page."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator

_SUPERBLOB, _CODE_DIRECTORY = 0xFADE0CC0, 0xFADE0C02
_AD_HOC_BY_LINKER = 0x20002
_SHA_256 = 2


def check(library: bytes, offset: int, size: int) -> None:
    """Raise ValueError unless the pages of `library` are those of its signature, which is at `offset`.

    macOS loads no code on arm64 that is not signed so.
    """
    blob = library[offset : offset + size]
    magic, _length, count = struct.unpack_from(">III", blob)
    if magic != _SUPERBLOB:
        raise ValueError("there is no signature where the library says")
    slots = (struct.unpack_from(">II", blob, 12 + 8 * i)[1] for i in range(count))
    directories = [slot for slot in slots if struct.unpack_from(">I", blob, slot)[0] == _CODE_DIRECTORY]
    if not directories:
        raise ValueError("the signature has no code directory")
    for directory in directories:
        for page, (signed, actual) in enumerate(_hashes(library, blob, directory)):
            if signed != actual:
                raise ValueError(f"page {page} is not the one that was signed")


def _hashes(library: bytes, blob: bytes, start: int) -> Iterator[tuple[bytes, bytes]]:
    """What was signed for each page, and what it is."""
    fields = struct.unpack_from(">IIIIIIIIIBBBB", blob, start)
    flags, first, count, end, length, kind, page_bits = (fields[i] for i in (3, 4, 7, 8, 9, 10, 12))
    if flags & _AD_HOC_BY_LINKER != _AD_HOC_BY_LINKER or kind != _SHA_256:
        raise ValueError(f"the signature has flags {flags:#x} and hashes of kind {kind}")
    for page in range(count):
        signed = blob[start + first + page * length :][:length]
        code = library[page << page_bits : min((page + 1) << page_bits, end)]
        yield signed, hashlib.sha256(code).digest()[:length]
