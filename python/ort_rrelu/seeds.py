"""The `seed` attribute of each train node that an exporter writes, and the seed of each place of a module."""

from __future__ import annotations

import itertools
import warnings
from collections import Counter
from collections.abc import Hashable

from ort_rrelu.arguments import as_seed
from ort_rrelu.reference import derive_seed

__all__ = ["NodeSeeds", "seed_of_place"]


def seed_of_place(seed: int, place: int) -> int:
    """The seed with which call number `place`, from 0, of a seeded module draws: its own seed at first.

    Places are counted within the module, in the order of its calls.
    """
    return seed if place == 0 else derive_seed(seed, place)


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
        self._modules: dict[int, list[Hashable]] = {}  # own seed -> the modules that have it
        self._places: Counter[tuple[int, Hashable]] = Counter()
        self._taken: set[int] = set()
        self._warned: set[tuple[int, bool]] = set()

    def take(self, own: int | None, module: Hashable = None) -> int:
        """The next node's seed.

        A module that is called at several places draws with one seed and a running step in torch. Its nodes
        cannot share a seed here, for each counts its own runs: place j gets seed_of_place(own, j), and a
        warning says so. Other modules of an equal seed get seeds derived from it, and a warning, too.

        Args:
            own: the seed of the module that the node comes from, which goes before the base.
            module: which module that is; None where the exporter cannot tell: then all nodes of an equal seed
                count as places of one module.
        """
        position = next(self._positions)
        if own is None:
            seed = -1 - position if self._base is None else derive_seed(self._base, position)
        else:
            seed = self._seed_of_module(own, module, position)
        if seed in self._taken:
            self._warn_equal(seed, position)
            while seed in self._taken:
                seed = derive_seed(seed, position)
        self._taken.add(seed)
        return seed

    def _seed_of_module(self, own: int, module: Hashable, position: int) -> int:
        modules = self._modules.setdefault(own, [])
        if module not in modules:
            modules.append(module)
        place = self._places[own, module]
        self._places[own, module] += 1
        if number := modules.index(module):
            self._warn_equal(own, position)
            # No module has a place that draws with derive_seed(own, 0).
            return seed_of_place(derive_seed(derive_seed(own, 0), number), place)
        if place:
            self._warn(
                own,
                False,
                f"a module with seed={own} is called at several places of the model: from train node "
                f"{position} on, place j of it, from 0, draws with derive_seed({own}, j), where torch counts "
                "the step on, so their slopes differ from torch's; use a module for each place, each with a "
                "seed of its own",
            )
        return seed_of_place(own, place)

    def _warn_equal(self, seed: int, position: int) -> None:
        self._warn(
            seed,
            True,
            f"seed={seed} belongs to several modules of the model: from train node {position} on, the others "
            "get seeds derived from it, so their slopes differ from torch's, where equal seeds draw equal "
            "slopes; give each module a seed of its own",
        )

    def _warn(self, seed: int, equal: bool, message: str) -> None:
        if (seed, equal) not in self._warned:
            self._warned.add((seed, equal))
            warnings.warn(message, stacklevel=4)
