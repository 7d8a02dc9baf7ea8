"""In which order the host and other launches see what a thread does: stores, and the word that tells of them.

Threads run in order here, and on a device they do not: what has to be seen first needs a fence behind it.
"""

from __future__ import annotations

import numpy as np

from tests.device_code.memory import Array, FaultError


class Order:
    """Which threads of a grid lack a fence."""

    def __init__(self, count: int) -> None:
        self._has_stored = np.zeros(count, np.bool_)
        self._has_told = np.zeros(count, np.bool_)  # by a word that others look at

    def stored(self, threads: Array) -> None:
        """Plainly, to global memory."""
        if self._has_told[threads].any():
            raise FaultError("no fence between a word that others look at and a store")
        self._has_stored[threads] = True

    def claimed(self, threads: Array) -> None:
        """By an atomic operation: what they store afterwards must not be seen before."""
        self._has_told[threads] = True

    def published(self, threads: Array) -> None:
        """By a volatile store: what they have stored must be seen before."""
        if self._has_stored[threads].any():
            raise FaultError("no fence between a store and a word that others look at")
        self._has_told[threads] = True

    def fenced(self, threads: Array) -> None:
        """For the whole system."""
        self._has_stored[threads] = False
        self._has_told[threads] = False
