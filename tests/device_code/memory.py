"""The memory of a simulated device: what threads may read and write, and which of them did in this launch."""

from __future__ import annotations

import bisect
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

_FIRST = 0x7F00_0000_0000
_APART = 1 << 32  # between the beginnings of arrays: nothing that begins in one reaches another by accident
_NOBODY, _SEVERAL = -1, -2
_WIDEST = 16  # bytes of an access
WARP = 32


class FaultError(Exception):
    """What a kernel must not do."""


class Region:
    """An array of its own: an access belongs to it as a whole."""

    def __init__(self, address: int, values: Array, *, written: bool, shared: int = 0) -> None:
        self.address = address
        self.bytes = values
        self.shared = shared
        self.is_set = np.full(values.size, written)
        self.writer = np.full(values.size, _NOBODY, np.int32)
        self.reader = np.full(values.size, _NOBODY, np.int32)

    def places(self, addresses: Array, width: int) -> Array:
        """Which bytes threads mean: a row for each thread."""
        begin = (addresses - np.uint64(self.address)).astype(np.int64)
        outside = (begin < 0) | (begin + width > self.bytes.size)
        if outside.any():
            raise FaultError(
                f"{np.count_nonzero(outside)} threads leave an array of {self.bytes.size} bytes, "
                f"the first at byte {begin[outside][0]}"
            )
        return np.asarray(begin[:, None] + np.arange(width))

    def load(self, places: Array, threads: Array, *, volatile: bool = False) -> Array:
        self._check_shared(places, volatile=volatile)
        if not self.is_set[places].all():
            raise FaultError("a load of bytes that nothing was written to")
        writer, me = self.writer[places], threads[:, None]
        if ((writer != _NOBODY) & (writer != me)).any():
            raise FaultError("a load of what another thread of the grid has written")
        before = self.reader[places]
        self.reader[places] = me
        shared = (self.reader[places] != me) | ((before != _NOBODY) & (before != me))
        self.reader[places[shared]] = _SEVERAL
        return np.asarray(self.bytes[places])

    def _check_shared(self, places: Array, *, volatile: bool) -> None:
        if not volatile and self.shared and (places < self.shared).any():
            raise FaultError("a plain access to what others may change meanwhile")

    def store(self, places: Array, values: Array, threads: Array, *, volatile: bool = False) -> None:
        self._check_shared(places, volatile=volatile)
        me = threads[:, None]
        if (self.writer[places] != _NOBODY).any():
            raise FaultError("a byte is written twice")
        self.writer[places] = me
        if (self.writer[places] != me).any():
            raise FaultError("two threads write one byte")
        reader = self.reader[places]
        if ((reader != _NOBODY) & (reader != me)).any():
            raise FaultError("a store to what another thread of the grid has read")
        self.bytes[places] = values
        self.is_set[places] = True


def _check_side_by_side(addresses: Array, width: int, threads: Array) -> None:
    """The widest accesses of a warp are one piece of memory, or of one place; others take longer by far.

    threads: in ascending order.
    """
    if width < _WIDEST:
        return
    neighbours = np.diff(threads // WARP) == 0
    distances = np.diff(addresses.astype(np.int64))[neighbours]
    if not ((distances == width).all() or (distances == 0).all()):
        raise FaultError(f"accesses of {width} bytes that are not side by side in a warp")


class Memory:
    """Arrays, each a region."""

    def __init__(self) -> None:
        self._regions: list[Region] = []
        self._addresses: list[int] = []

    def put(self, values: Array, offset: int = 0, *, shared: int = 0) -> int:
        """A copy of an array; its address is `offset` bytes after an aligned one.

        shared: how many of its bytes, from the first on, the host or another launch may change meanwhile.
        """
        raw = np.ascontiguousarray(values).reshape(-1).view(np.uint8)
        return self._add(raw.copy(), offset, written=True, shared=shared)

    def room(self, size: int, offset: int = 0) -> int:
        """Bytes that nothing was written to."""
        return self._add(np.full(size, 0xA5, np.uint8), offset, written=False)

    def _add(self, raw: Array, offset: int, *, written: bool, shared: int = 0) -> int:
        address = _FIRST + _APART * len(self._regions) + offset
        self._regions.append(Region(address, raw, written=written, shared=shared))
        self._addresses.append(address)
        return address

    def read(self, address: int) -> Array:
        """The bytes of the array that begins there."""
        return self._regions[self._addresses.index(address)].bytes

    def written(self, address: int) -> Array:
        """Which bytes of the array that begins there were written since the launch."""
        return np.asarray(self._regions[self._addresses.index(address)].writer != _NOBODY)

    def begin_launch(self) -> None:
        """All that earlier launches did has happened."""
        for region in self._regions:
            region.writer[:] = _NOBODY
            region.reader[:] = _NOBODY

    def load(self, addresses: Array, width: int, threads: Array, *, volatile: bool = False) -> Array:
        """`width` bytes for each thread."""
        _check_side_by_side(addresses, width, threads)
        region = self._region(addresses, width)
        return region.load(region.places(addresses, width), threads, volatile=volatile)

    def store(self, addresses: Array, values: Array, threads: Array, *, volatile: bool = False) -> None:
        """A row of bytes from each thread."""
        width = values.shape[1]
        _check_side_by_side(addresses, width, threads)
        region = self._region(addresses, width)
        region.store(region.places(addresses, width), values, threads, volatile=volatile)

    def update(self, address: int, width: int, change: Callable[[int], int]) -> int:
        """What was there before an atomic operation, which leaves what `change` makes of it."""
        at = np.array([address], np.uint64)
        region = self._region(at, width)
        (place,) = region.places(at, width)
        if not region.is_set[place].all():
            raise FaultError("an atomic operation on bytes that nothing was written to")
        before = int.from_bytes(region.bytes[place].tobytes(), "little")
        after = change(before) % 2 ** (8 * width)
        region.bytes[place] = np.frombuffer(after.to_bytes(width, "little"), np.uint8)
        return before

    def _region(self, addresses: Array, width: int) -> Region:
        if (addresses % np.uint64(width)).any():
            raise FaultError(f"an access of {width} bytes that is not aligned to them")
        first = int(addresses[0])
        index = bisect.bisect_right(self._addresses, first) - 1
        if index < 0:
            raise FaultError(f"address {first:#x} is of no array")
        return self._regions[index]
