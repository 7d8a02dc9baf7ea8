"""Large blocks of memory given back to the system at once, where the C library is glibc."""

from __future__ import annotations

import ctypes
import sys

__all__ = ["return_large_blocks"]

_M_MMAP_THRESHOLD = -3  # of malloc.h
_LARGE = 2**20


def return_large_blocks() -> bool:
    """Whether blocks of 1 MiB and more are now mapped one by one, for the whole process.

    glibc raises its own limit to 32 MiB with use, and then keeps what every thread has ever needed: a server
    with a dozen threads keeps hundreds of MiB of requests that were answered long ago.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and bool(mallopt(_M_MMAP_THRESHOLD, _LARGE))
