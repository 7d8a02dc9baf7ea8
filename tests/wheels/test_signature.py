"""The check of a macOS library's signature, on a small file that is signed here."""

from __future__ import annotations

import hashlib
import struct

import pytest

from wheels import signature

_PAGE = 4096
_CODE = bytes(range(256)) * 40  # two pages and a half
_AD_HOC_BY_LINKER = 0x20002


def _signed(flags: int = _AD_HOC_BY_LINKER) -> tuple[bytearray, int, int]:
    """A file, and where its signature is."""
    hashes = b"".join(hashlib.sha256(_CODE[at : at + _PAGE]).digest() for at in range(0, len(_CODE), _PAGE))
    count = len(hashes) // 32
    sizes = (len(_CODE), 32, 2, 0, 12)
    directory = struct.pack(
        ">IIIIIIIIIBBBB", 0xFADE0C02, 44 + len(hashes), 0x20400, flags, 44, 0, 0, count, *sizes
    )
    directory = directory.ljust(44, b"\0") + hashes
    blob = struct.pack(">IIIII", 0xFADE0CC0, 20 + len(directory), 1, 0, 20) + directory
    return bytearray(_CODE + blob), len(_CODE), len(blob)


def test_what_is_signed_passes() -> None:
    file, offset, size = _signed()
    signature.check(bytes(file), offset, size)


@pytest.mark.parametrize("place", [0, _PAGE, len(_CODE) - 1])
def test_a_byte_that_was_changed_is_found(place: int) -> None:
    file, offset, size = _signed()
    file[place] ^= 1
    with pytest.raises(ValueError, match=f"^page {place // _PAGE} is not the one that was signed$"):
        signature.check(bytes(file), offset, size)


def test_a_signature_of_another_kind_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^the signature has flags 0x2 and hashes of kind 2$"):
        signature.check(*_bytes(_signed(flags=2)))


def test_a_file_without_a_signature_is_refused() -> None:
    file, offset, size = _signed()
    file[offset] ^= 1
    with pytest.raises(ValueError, match=r"^there is no signature where the library says$"):
        signature.check(bytes(file), offset, size)


def _bytes(signed: tuple[bytearray, int, int]) -> tuple[bytes, int, int]:
    return bytes(signed[0]), signed[1], signed[2]
