"""Batches checked against what a step model takes."""

from __future__ import annotations

import numpy as np
import onnx
from numpy.typing import ArrayLike

from ort_rrelu.arguments import Array
from ort_rrelu.errors import InvalidTypeError, InvalidValueError
from ort_rrelu.training.step_model import X, Y

__all__ = ["BatchCheck"]


class BatchCheck:
    """What the inputs x and y of a graph may be: dtypes, and shapes with names for what is free."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        inputs = {value.name: value.type.tensor_type for value in graph.input if value.name in {X, Y}}
        self._dtypes = {n: onnx.helper.tensor_dtype_to_np_dtype(t.elem_type) for n, t in inputs.items()}
        self._shapes = {
            name: [d.dim_param or d.dim_value for d in kind.shape.dim] for name, kind in inputs.items()
        }

    def check(self, x: ArrayLike, y: ArrayLike | None = None) -> dict[str, Array]:
        """The batch as arrays by name; dtypes are never converted."""
        given = {X: x} if y is None else {X: x, Y: y}
        batch = {name: np.ascontiguousarray(value) for name, value in given.items() if name in self._dtypes}
        sizes: dict[str, int] = {}
        for name, array in batch.items():
            if array.dtype != self._dtypes[name]:
                raise InvalidTypeError(f"{name} has dtype {array.dtype}: it must be {self._dtypes[name]}")
            self._check_shape(name, array, sizes)
        return batch

    def _check_shape(self, name: str, array: Array, sizes: dict[str, int]) -> None:
        """sizes: of the free dimensions that were met so far."""
        wanted = self._shapes[name]
        problem = len(wanted) != array.ndim
        for size, dimension in zip(array.shape, wanted, strict=False):
            expected = sizes.setdefault(dimension, size) if isinstance(dimension, str) else dimension
            problem |= size != expected or (isinstance(dimension, str) and size == 0)
        if problem:
            shape = ", ".join(f"{d}={sizes[d]}" if sizes.get(str(d)) else str(d) for d in map(str, wanted))
            raise InvalidValueError(f"{name} has shape {list(array.shape)}: it must be [{shape}]")
