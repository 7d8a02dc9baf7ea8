"""What makes a fault in memory hard to exploit (cmake/Hardening.cmake), read from the shared library."""

from __future__ import annotations

import subprocess
import sys

import pytest

import ort_rrelu

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="ELF files alone are hardened")


def _read(*command: str) -> str:
    return subprocess.check_output([*command, ort_rrelu.get_library_path()], text=True)


def _segments() -> list[tuple[str, str]]:
    """Kind and flags of each segment."""
    lines = [line.split() for line in _read("readelf", "--program-headers", "--wide").splitlines()]
    return [
        (fields[0], "".join(fields[6:-1]))
        for fields in lines
        if len(fields) > 7 and fields[1].startswith("0x")
    ]


def test_no_memory_is_both_written_and_executed() -> None:
    segments = _segments()
    assert ("GNU_STACK", "RW") in segments
    assert ("LOAD", "RE") in segments
    assert not [kind for kind, flags in segments if "W" in flags and "E" in flags]


def test_addresses_of_functions_are_read_only_after_loading() -> None:
    """Full RELRO: functions are found at loading, and their table is not written after that."""
    assert "GNU_RELRO" in dict(_segments())
    assert "BIND_NOW" in _read("readelf", "--dynamic")


def test_no_code_is_changed_when_it_is_loaded() -> None:
    assert "(TEXTREL)" not in _read("readelf", "--dynamic")


def _undefined() -> set[str]:
    lines = _read("nm", "--dynamic", "--undefined-only").splitlines()
    return {line.split()[-1].split("@")[0] for line in lines}


def test_an_array_on_the_stack_that_is_overrun_ends_the_process() -> None:
    """libc's function is called, or one that the compiler brings along: then the guarded word is read."""
    assert "__stack_chk_fail" in _undefined() or "%fs:0x28" in _read("objdump", "--disassemble")


def test_functions_of_libc_know_the_size_that_they_write_to() -> None:
    """_FORTIFY_SOURCE."""
    assert [name for name in _undefined() if name.endswith("_chk")]
