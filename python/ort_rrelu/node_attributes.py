"""What every exporter writes: the attributes of an RRelu node."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import onnx

from ort_rrelu import library
from ort_rrelu.errors import InvalidTypeError
from ort_rrelu.seeds import NodeSeeds

__all__ = ["NodeAttributes", "check_bounds"]


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
        InvalidTypeError, InvalidValueError: seed or training is none of these.
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
