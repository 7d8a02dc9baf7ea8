"""Monte-Carlo inference: many draws of each row of a model's inputs, in as few runs as their size allows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import onnxruntime
from numpy.typing import ArrayLike

from ort_rrelu.arguments import Array, as_count, as_ndarray, as_steps
from ort_rrelu.errors import InvalidTypeError, InvalidValueError
from ort_rrelu.row_session import REMEDY, RowModel, row_model
from ort_rrelu.tensors import as_array, as_ort_value, is_extension

_DRAW_SHIFT = 48
_MOST_DRAWS = 2 ** (64 - _DRAW_SHIFT)
_ROUNDING, _ROUNDING_OF_16_BITS = 0.01, 0.1  # of the largest number in a row: it makes no such difference


def monte_carlo(
    session: onnxruntime.InferenceSession,
    inputs: Mapping[str, ArrayLike],
    draws: int,
    *,
    step: ArrayLike = 0,
    rows: int = 64,
) -> dict[str, Array]:
    """Run a model with RReLU in train mode several times on the same inputs, each time with other slopes.

    The model has a step for each row: export it with seed= and step_input="rows". Draw k of row n is at
    step[n] + (k << 48) modulo 2^64, whatever the numbers of draws and rows, and however many of them share a
    run. So its slopes are the same bits in each call; other operators round as they do for the size of a run.
    Keep steps from 0 to 2^48 - 1, and no draws of two steps are the same.

    One `step` serves all rows: draw k is then one function, drawn once and applied to each row. The answers
    for two rows within one draw can be compared, and are not independent. If they are to be independent, give
    each row a step of its own.

    What is checked: inputs and outputs, as the session declares them. Of an ort_rrelu.InferenceSession it is
    known what draws in the model, and all of it must draw at the step input with a seed. A plain
    onnxruntime.InferenceSession with the library registered, a model in ONNX Runtime's own format, and a file
    that has changed since do not tell: there, the step input must be named "step", and on the CPU some rows
    are run twice, with equal bits. A node without a seed is not noticed there: its draws are others in each
    session. Where it is not proved that the model keeps rows apart (see `ort_rrelu.serving.obstacles`), it is
    tried in some more runs: the first and the last row must give the same bits (outside the CPU, roughly the
    same) beside copies of themselves, roughly the same at each place in the run, and the first one alone.
    Integers alone cannot tell: from them only the bits beside copies are judged.

    Args:
        session: an ort_rrelu.InferenceSession, or an onnxruntime.InferenceSession.
        inputs: the model's inputs by name, but the step. Those that begin with the step input's dimension
            have N rows, which are repeated; others are passed on to each run. If that dimension is a fixed
            number, N may be another: runs are filled up, and what fills them is dropped.
        draws: how many of each row, 1 .. 65536.
        step: int64, one element, or shape [N].
        rows: the largest number of rows of one run.

    Returns:
        The outputs by name, each of shape [draws, N, ...].

    Raises:
        InvalidValueError, InvalidTypeError: an argument is not allowed, or the model has no step for each
            row, draws otherwise, or has an output that does not begin with that dimension. Errors of ONNX
            Runtime are passed on.
    """
    if not isinstance(session, onnxruntime.InferenceSession):
        raise InvalidTypeError(
            f"session is of type {type(session).__name__}: it must be an ort_rrelu.InferenceSession or an "
            "onnxruntime.InferenceSession"
        )
    count, limit = as_count(draws, "draws", most=_MOST_DRAWS), as_count(rows, "rows")
    model = row_model(session)
    repeated, others, number = model.feeds(inputs)
    run = _Runner(session, model, repeated, others, _steps(step, number))
    answers = _gathered(run, count * number, _run_size(model, limit, number))
    return {
        value.name: array.reshape(count, number, *array.shape[1:])
        for value, array in zip(model.outputs, answers, strict=True)
    }


def _steps(step: ArrayLike, number: int) -> Array:
    array = as_ndarray(step, "step")
    if array.dtype == bool:
        raise InvalidTypeError(f"step={step!r}: it must be an integer, or an array of int64")
    if array.size != 1 and array.shape != (number,):
        raise InvalidValueError(
            f"step has shape {list(array.shape)}: it must have one element, or shape [{number}], "
            "one for each row"
        )
    first, several = as_steps(step, (number,))
    return np.full(number, first, np.int64) if several is None else several


def _run_size(model: RowModel, limit: int, number: int) -> int:
    if not isinstance(model.dimension, int):
        return limit
    if model.dimension > limit:
        raise InvalidValueError(f"rows={limit}: the model takes {model.dimension} rows in a run, no fewer")
    if not number:
        raise InvalidValueError(f"there is no row: the model takes {model.dimension} in a run, no fewer")
    return model.dimension


@dataclass(frozen=True)
class _Runner:
    """Runs a model for places: place k * N + n is draw k of row n."""

    session: onnxruntime.InferenceSession
    model: RowModel
    repeated: Mapping[str, Array]
    others: Mapping[str, Array]
    steps: Array

    def __call__(self, places: Array) -> list[Array]:
        """The outputs, each with a row for each place."""
        size = len(places)
        if isinstance(self.model.dimension, int):
            places = np.resize(places, self.model.dimension)
        draw, row = np.divmod(places, max(len(self.steps), 1))
        feeds = {name: array[row] for name, array in self.repeated.items()}
        feeds |= self.others
        feeds[self.model.step] = self.steps[row] + (draw << _DRAW_SHIFT)  # wraps
        outputs = self._run(feeds)
        for value, array in zip(self.model.outputs, outputs, strict=True):
            if array.shape[:1] != (len(places),):
                raise InvalidValueError(
                    f'output "{value.name}" has shape {list(array.shape)} in a run of {len(places)} rows, '
                    "although the model says that it begins with the rows"
                )
        return [array[:size] for array in outputs]

    def _run(self, feeds: Mapping[str, Array]) -> list[Array]:
        names = [value.name for value in self.model.outputs]
        values = (*self.model.outputs, *self.model.row_inputs, *self.model.others)
        if not any(is_extension(value.dtype) for value in values):
            return [np.asarray(array) for array in self.session.run(names, feeds)]
        given = {name: as_ort_value(np.ascontiguousarray(array)) for name, array in feeds.items()}
        found = map(as_array, self.session.run_with_ort_values(names, given))
        return [array for array in found if array is not None]


def _gathered(run: _Runner, total: int, size: int) -> list[Array]:
    """The outputs for all places, in runs of `size` of them."""
    if total:
        _check(run, size, total)
    first = run(np.arange(min(size, total)))
    gathered = [np.empty((total, *array.shape[1:]), array.dtype) for array in first]
    for begin in range(0, total, size):
        places = np.arange(begin, min(begin + size, total))
        for value, target, array in zip(
            run.model.outputs, gathered, run(places) if begin else first, strict=True
        ):
            if array.shape[1:] != target.shape[1:]:
                raise InvalidValueError(
                    f'output "{value.name}" has rows of shape {list(target.shape[1:])} in one run and '
                    f"{list(array.shape[1:])} in another: they do not fit in one array"
                )
            target[places] = array
    return gathered


def _check(run: _Runner, size: int, total: int) -> None:
    """Try, in runs of full size, what is not known of the model. Raises InvalidValueError that says it.

    Runs of one size round alike, so that a row keeps its bits whatever the others are. That is counted on
    where the CPU runs all nodes, and nowhere else.
    """
    full = size if isinstance(run.model.dimension, int) else min(size, total)  # a run that is fixed is filled
    alone = run.model.mixing is None or full == 1
    if run.model.known and alone:
        return
    exact = list(run.session.get_providers()) == ["CPUExecutionProvider"]
    places = np.arange(full) * max(total, full) // full
    first = run(places)
    if not run.model.known and exact and not all(map(_same, first, run(places))):
        raise InvalidValueError(
            f"two runs on the same inputs and steps differ, so the model draws without its step: {REMEDY}"
        )
    if alone:
        return
    for row in (0, -1):
        copies = run(np.full_like(places, places[row]))
        _compare(run, [a[row] for a in first], [a[row] for a in copies], _same if exact else _alike)
        _compare(run, [a[row] for a in copies], copies, _alike)  # at each place in the run
    _compare(run, [a[0] for a in first], [a[0] for a in run(places[:1])], _alike)


def _compare(run: _Runner, a: list[Array], b: list[Array], equal: Callable[[Array, Array], bool]) -> None:
    for value, one, other in zip(run.model.outputs, a, b, strict=True):
        if not equal(one, other):
            raise InvalidValueError(
                f'output "{value.name}": a row depends on those beside it, or on its place among them '
                f"({run.model.mixing}): with rows=1 each has a run to itself"
            )


def _same(a: Array, b: Array) -> bool:
    """NaN equals NaN, in types that have one."""
    return a.shape == b.shape and bool(((a == b) | ((a != a) & (b != b))).all())


def _alike(a: Array, b: Array) -> bool:
    """Do b, or all rows of b, differ from a by no more than rounding?

    Integers are not judged: which of two nearly equal numbers is the largest is a matter of rounding.
    """
    if a.shape != b.shape[b.ndim - a.ndim :]:
        return False
    if a.dtype.kind not in "fV":  # V are the types of ml_dtypes
        return True
    largest = _ROUNDING if a.dtype.itemsize > 2 else _ROUNDING_OF_16_BITS
    with np.errstate(all="ignore"):
        difference, sizes = np.abs(a.astype(np.float64) - b.astype(np.float64)), np.abs(a.astype(np.float64))
        return not (difference > largest * sizes[np.isfinite(sizes)].max(initial=0)).any()
