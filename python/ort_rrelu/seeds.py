"""The `seed` attribute of each train node that an exporter writes."""

from __future__ import annotations

import itertools
import warnings

from ort_rrelu.arguments import as_seed
from ort_rrelu.reference import derive_seed

__all__ = ["NodeSeeds"]


class NodeSeeds:
    """Gives the train nodes of one export, in order, seeds that all differ.

    They must differ even where nothing is seeded: graph optimizers merge identical nodes, and two RReLUs of
    one input would then share their slopes.

    Args:
        base: 0 .. 2^63 - 1, node i gets derive_seed(base, i); None, node i gets -1 - i, fresh entropy.

    Raises:
        InvalidTypeError, InvalidValueError: base is not such a number.
    """

    def __init__(self, base: int | None) -> None:
        self._base = None if base is None else as_seed(base)
        self._positions = itertools.count()
        self._taken: set[int] = set()
        self._warned: set[int] = set()

    def take(self, own: int | None) -> int:
        """The next node's seed; `own` is the seed of the module that it comes from, which goes first.

        A module that is called at several places draws with one seed and a running step in torch. Its nodes
        cannot share a seed here, for each counts its own runs: all but the first get derived ones, and a
        warning says so.
        """
        position = next(self._positions)
        if own is None:
            seed = -1 - position if self._base is None else derive_seed(self._base, position)
        else:
            seed = own
        if seed in self._taken:
            seed = self._another(seed, position)
        self._taken.add(seed)
        return seed

    def _another(self, taken: int, position: int) -> int:
        if taken not in self._warned:
            self._warned.add(taken)
            warnings.warn(
                f"seed={taken} is used at several places of the model: from train node {position} on, these "
                "get seeds derived from it, so their slopes differ from torch's; use one module, with a seed "
                "of its own, for each place",
                stacklevel=3,
            )
        seed = taken
        while seed in self._taken:
            seed = derive_seed(seed, position)
        return seed
