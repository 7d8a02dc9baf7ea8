"""The attributes of the RRelu nodes that exporters write, and their seeds, of which no two are equal."""

from __future__ import annotations

import itertools
import warnings
from collections import Counter
from collections.abc import Hashable, Iterable, Iterator
from typing import Any

import onnx

from ort_rrelu import library
from ort_rrelu.arguments import as_seed
from ort_rrelu.errors import InvalidTypeError
from ort_rrelu.reference import derive_seed


def check_bounds(lower: Any, upper: Any) -> tuple[float, float]:
    """The bounds as numbers, for which torch also takes tensors of one element, and NumPy's scalars.

    Raises an InvalidTypeError or InvalidValueError that names the culprit unless the bounds are allowed,
    float32 at least.
    """
    low, high = _number("lower", lower), _number("upper", upper)
    library.check(library.Params(onnx.TensorProto.FLOAT, low, high))
    return low, high


def _number(name: str, value: Any) -> float:
    if isinstance(value, int | float) and type(value).__module__ == "builtins":
        return value
    refusal = InvalidTypeError(f"{name}={value!r}: it must be a number, or a tensor of one element")
    if isinstance(value, str | bytes):  # float() reads numbers in them
        raise refusal
    try:
        return float(value.detach() if hasattr(value, "detach") else value)
    except (TypeError, ValueError, RuntimeError) as error:  # RuntimeError: torch's, for several elements
        raise refusal from error


class NodeAttributes:
    """The attributes of the RRelu nodes of one export.

    Args:
        seed: as in `export`.
        training: None keeps each node's own mode, True or False sets all of them.

    Raises:
        InvalidTypeError, InvalidValueError: seed or training is not allowed.
    """

    def __init__(self, seed: int | None, training: bool | None) -> None:
        if not isinstance(training, bool | None):  # torch.onnx.export has a parameter of this name, too
            raise InvalidTypeError(f"training={training!r}: it must be None, True or False")
        self._seeds = NodeSeeds(seed)
        self._training = training

    def trains(self, own: bool) -> bool:
        """The mode that is written for a node whose own mode is `own`."""
        return bool(own) if self._training is None else self._training

    def __call__(
        self,
        lower: float,
        upper: float,
        training: bool,
        own_seed: int | None = None,
        module: Hashable = None,
    ) -> dict[str, float | int]:
        """All four attributes: ONNX Runtime knows no defaults for a custom op.

        own_seed, module: the seed of the module that the node comes from, and which one it is, as in
        `NodeSeeds.take`.

        Raises InvalidValueError when a bound is out of range.
        """
        train = self.trains(training)
        low, high = check_bounds(lower, upper)
        unseeded = -1 if own_seed is None else own_seed
        seed = self._seeds.take(own_seed, module) if train else unseeded
        return {"lower": float(low), "upper": float(high), "training": int(train), "seed": seed}


def seed_of_place(seed: int, place: int) -> int:
    """The seed with which call number `place`, from 0, of a seeded module draws: its own seed at first.

    Places are counted within the module, in the order of its calls in train mode. Exporters number them so,
    and ort_rrelu.torch.accept_step.
    """
    return seed if place == 0 else derive_seed(seed, place)


class FreeSeeds:
    """Seeds that no train node has: graph optimizers merge identical nodes, which then share their slopes."""

    def __init__(self, taken: Iterable[int] = ()) -> None:
        self._taken = set(taken)

    def __contains__(self, seed: int) -> bool:
        return seed not in self._taken

    def first(self, candidates: Iterable[int]) -> int:
        """The first that is free, which then is taken."""
        seed = next(seed for seed in candidates if seed in self)
        self._taken.add(seed)
        return seed


class NodeSeeds:
    """Gives the train nodes of one export, in order, seeds that all differ.

    They must differ even where nothing is seeded, see FreeSeeds.

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
        self._free = FreeSeeds()
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
        if seed not in self._free:
            self._warn_equal(seed, position)
        return self._free.first(_derived(seed, position))

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
                "seed of its own, or call the network with step= after ort_rrelu.torch.accept_step, which "
                "draws as the nodes do",
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


def _derived(seed: int, position: int) -> Iterator[int]:
    """The seed, one derived from it, one derived from that, and so on."""
    while True:
        yield seed
        seed = derive_seed(seed, position)
