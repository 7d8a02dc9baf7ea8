"""The kernels' tile loops are not longer than they were, use 16-byte accesses, and do not spill."""

from __future__ import annotations

import functools
from pathlib import Path

import pytest

from tests.device_code import compiling, machine_code

_LIMITS = Path(__file__).with_name("machine_code_limits.txt")
_REMEDY = "python -m tests.device_code.machine_code limits > tests/device_code/machine_code_limits.txt"
# Of four types: forward in four layouts, with Y alone or not; from noise; from reserves of three layouts.
_KERNELS = 4 * (4 * 2 + 1 + 3)


@functools.cache
def _rows() -> dict[str, machine_code.Row]:
    return {row.kernel: row for row in machine_code.table()}


def _limits() -> dict[str, list[str]]:
    """Kernel -> counts of each architecture, and the share of a copy's time."""
    lines = _LIMITS.read_text("utf-8").splitlines()
    words = [line.split() for line in lines if not line.startswith("#")]
    columns = len(compiling.ARCHITECTURES) + 1
    return {" ".join(line[:-columns]): line[-columns:] for line in words}


def _too_long(found: str, allowed: str) -> bool:
    """Counts as machine_code_limits.txt has them."""
    pairs = list(zip(found.split("/"), allowed.split("/"), strict=True))
    numbers = [
        ([int(n) for n in (*f.split("+"), "0")[:2]], [int(n) for n in (*a.split("+"), "0")[:2]])
        for f, a in pairs
    ]
    return any(f[0] > a[0] or f[1] > a[1] for f, a in numbers)


def test_the_limits_are_of_this_compiler() -> None:
    """Another one makes other code: look at what it makes, then take its counts."""
    assert machine_code.COMPILER_LINE + compiling.version() in _LIMITS.read_text("utf-8"), _REMEDY


def test_every_kernel_has_limits() -> None:
    assert len(_rows()) == _KERNELS
    assert list(_limits()) == list(_rows())


@pytest.mark.parametrize("place", range(len(compiling.ARCHITECTURES)), ids=map(str, compiling.ARCHITECTURES))
def test_no_kernel_is_longer_than_it_was(place: int) -> None:
    for kernel, limits in _limits().items():
        found = _rows()[kernel].counts()[place]
        assert not _too_long(found, limits[place]), f"{kernel}: {found}, not {limits[place]}"


def test_limits_are_not_loose() -> None:
    """A kernel that got faster may not get slower again."""
    for kernel, limits in _limits().items():
        assert _rows()[kernel].counts() == limits[:-1], f"{kernel} got shorter: {_REMEDY}"
        assert f"{_rows()[kernel].share_of_copy:.2f}" == limits[-1], f"{kernel}: {_REMEDY}"


def test_the_documentation_has_these_numbers() -> None:
    page = Path(__file__).parents[2] / "docs" / "cuda.md"
    assert machine_code.markdown(list(_rows().values())) in page.read_text("utf-8")


def test_no_loop_uses_local_memory() -> None:
    for row in _rows().values():
        assert not any(loop.local_bytes for loops in row.loops.values() for loop in loops), row.kernel


def test_arrays_are_read_and_written_by_16_bytes() -> None:
    """And a reserve and steps, which may lie at any address, by bytes."""
    for row in _rows().values():
        widths = [loop.widths for loops in row.loops.values() for loop in loops]
        assert widths
        assert all(found <= {1, 16} and 16 in found for found in widths), row.kernel


@pytest.mark.parametrize("architecture", [90])
def test_a_slower_kernel_is_seen(architecture: int) -> None:
    """One with the same bits: by a conversion and a product instead of a fused multiply-add."""
    old = "__fmaf_rn(__uint_as_float(large), 0x1p-16f, 0x1p-17f - 128.0f)"
    new = "Multiply(__uint2float_rn(2 * (large & 0xFFFFu) + 1), 0x1p-17f)"
    loops = machine_code.tile_loops(compiling.cubin_with("slope.h", old, new, architecture))
    place = compiling.ARCHITECTURES.index(architecture)
    for kernel, limits in _limits().items():
        slower = machine_code.Row(kernel, {architecture: loops[kernel]})
        draws = kernel.startswith(("train", "reserve"))
        assert _too_long(slower.counts()[0], limits[place]) == draws, kernel
