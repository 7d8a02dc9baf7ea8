"""What every exporter writes: the attributes of an RRelu node."""

from __future__ import annotations

import onnx

from ort_rrelu import library
from ort_rrelu.errors import InvalidTypeError
from ort_rrelu.seeds import NodeSeeds

__all__ = ["NodeAttributes", "check_bounds"]


def check_bounds(lower: float, upper: float) -> None:
    """Raise an InvalidValueError that names the culprit unless the bounds are allowed, float32 at least."""
    library.check(library.Params(onnx.TensorProto.FLOAT, lower, upper))


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
        self, lower: float, upper: float, training: bool, own_seed: int | None = None
    ) -> dict[str, float | int]:
        """All four attributes: ONNX Runtime knows no defaults for a custom op.

        Raises InvalidValueError when a bound is out of range.
        """
        train = self.trains(training)
        check_bounds(lower, upper)
        unseeded = -1 if own_seed is None else own_seed
        seed = self._seeds.take(own_seed) if train else unseeded
        return {"lower": float(lower), "upper": float(upper), "training": int(train), "seed": seed}
