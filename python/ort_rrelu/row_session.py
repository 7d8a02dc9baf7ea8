"""A session whose model takes a step for each row: which inputs have the rows, and what it is refused for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import onnx
import onnxruntime
from numpy.typing import ArrayLike

from ort_rrelu.arguments import Array, as_ndarray
from ort_rrelu.errors import InvalidTypeError, InvalidValueError
from ort_rrelu.graph.drawing import Drawing, drawing_in, mixing
from ort_rrelu.runtime import has_seed, model_of
from ort_rrelu.tensors import Dimension, check_shape, element_dtype, shape_text

_STEP = "step"
REMEDY = 'export the model with seed= and step_input="rows"'


@dataclass(frozen=True)
class Value:
    """An input or output that is a tensor. dtype: that of objects for strings."""

    name: str
    dtype: np.dtype[Any]
    shape: tuple[Dimension, ...]

    @staticmethod
    def of(kind: str, argument: Any) -> Value:
        """From ONNX Runtime's NodeArg. Raises InvalidTypeError when it is no tensor of whole elements."""
        dtype = element_dtype(argument.type)
        if dtype is None:
            raise InvalidTypeError(
                f'{kind} "{argument.name}" is {argument.type}: it must be a tensor, which has rows'
            )
        return Value(argument.name, dtype, tuple(argument.shape))


@dataclass(frozen=True)
class RowModel:
    """The model of a checked session.

    dimension: the first one of the step, of the inputs in row_inputs and of all outputs: a name or a size.
    others: the rest of the inputs. optional: those among all that have a default in the model.
    known: ort_rrelu has read the model, and all that draws in it has been checked.
    mixing: why its rows may see each other; None by proof that they do not.
    """

    step: str
    dimension: int | str
    row_inputs: tuple[Value, ...]
    others: tuple[Value, ...]
    optional: frozenset[str]
    outputs: tuple[Value, ...]
    known: bool
    mixing: str | None

    def feeds(self, inputs: Mapping[str, ArrayLike]) -> tuple[dict[str, Array], dict[str, Array], int]:
        """Arrays for the row inputs, for the others, and the number of rows.

        Raises InvalidTypeError or InvalidValueError that names the input.
        """
        self._check_names(inputs)
        sizes: dict[str, int] = {}
        arrays = {
            value.name: _checked(value, inputs[value.name], self._open(value), sizes)
            for value in (*self.row_inputs, *self.others)
            if value.name in inputs
        }
        rows = {v.name: arrays.pop(v.name) for v in self.row_inputs if v.name in arrays}
        numbers = {name: len(array) for name, array in rows.items()}
        if len(set(numbers.values())) > 1:  # of a fixed size; a named one has been checked
            listed = ", ".join(f'"{name}" {number}' for name, number in numbers.items())
            raise InvalidValueError(f"the inputs have different numbers of rows: {listed}")
        if not rows:
            raise InvalidValueError(f"none of the inputs that have rows is given: {_listed(self.row_inputs)}")
        return rows, arrays, next(iter(numbers.values()))

    def _check_names(self, inputs: Mapping[str, ArrayLike]) -> None:
        if not isinstance(inputs, Mapping):
            raise InvalidTypeError(
                f"inputs is of type {type(inputs).__name__}: it must be a dict of arrays by input name"
            )
        if self.step in inputs:
            raise InvalidValueError(
                f"inputs has {self.step!r}: leave it out, and give step=, from which each draw gets its own"
            )
        wanted = (*self.row_inputs, *self.others)
        for name in inputs:
            if name not in {value.name for value in wanted}:
                raise InvalidValueError(
                    f"inputs has {name!r}, but the model has no such input: {_listed(wanted)}"
                )
        missing = [v.name for v in wanted if v.name not in inputs and v.name not in self.optional]
        if missing:
            raise InvalidValueError(f"inputs lacks {', '.join(map(repr, missing))}: {_listed(wanted)}")

    def _open(self, value: Value) -> tuple[Dimension, ...]:
        """The shape that is asked for: a model of a fixed number of rows is run with as many at a time."""
        fixed = isinstance(self.dimension, int) and value in self.row_inputs
        return (None, *value.shape[1:]) if fixed else value.shape


_MODELS: WeakKeyDictionary[onnxruntime.InferenceSession, RowModel] = WeakKeyDictionary()


def row_model(session: onnxruntime.InferenceSession) -> RowModel:
    """Of a session, which is looked into once.

    Raises InvalidValueError or InvalidTypeError that names input, output or node and the remedy.
    """
    if session not in _MODELS:
        _MODELS[session] = _row_model(session)
    return _MODELS[session]


def _row_model(session: onnxruntime.InferenceSession) -> RowModel:
    model = model_of(session)
    drawing = None if model is None else drawing_in(model)
    step = _step_name(drawing)
    if drawing is not None:
        _check_drawing(drawing, step, seeded=has_seed(session))
    given = list(session.get_inputs())
    with_default = list(session.get_overridable_initializers())
    dimension = _dimension(next((i for i in given if i.name == step), None), step)
    inputs = [Value.of("input", each) for each in (*given, *with_default) if each.name != step]
    outputs = tuple(Value.of("output", each) for each in session.get_outputs())
    row_inputs = tuple(value for value in inputs if value.shape[:1] == (dimension,))
    if not row_inputs:
        raise InvalidValueError(
            f"no input begins with the dimension {dimension!r} of {step!r}, so nothing has rows: {REMEDY}"
        )
    _check_axes(dimension, inputs, outputs)
    return RowModel(
        step,
        dimension,
        row_inputs,
        tuple(value for value in inputs if value not in row_inputs),
        frozenset(each.name for each in with_default),
        outputs,
        known=model is not None,
        mixing=_mixing(model, [step, *(value.name for value in row_inputs)]),
    )


def _mixing(model: onnx.ModelProto | None, batched: list[str]) -> str | None:
    if model is None:
        return "the session does not tell its model"
    return next(iter(mixing(model, batched)), None)


def _step_name(drawing: Drawing | None) -> str:
    read = {node.step for node in drawing.nodes if node.step} if drawing is not None else set()
    if len(read) > 1:
        raise InvalidValueError(f"the model has several step inputs, {', '.join(sorted(read))}: {REMEDY}")
    return next(iter(read), _STEP)


def _check_drawing(drawing: Drawing, step: str, *, seeded: bool) -> None:
    for node in drawing.nodes:
        if not node.ours:
            raise InvalidValueError(
                f"{node.label} draws numbers of its own, which no step repeats: export it in eval mode"
            )
        if node.step is None:
            raise InvalidValueError(
                f"{node.label} has a step that is not the model's input {step!r} itself: {REMEDY}"
            )
        if not node.step:
            raise InvalidValueError(f"{node.label} is in train mode and has no step: {REMEDY}")
        if not node.seeded and not seeded:
            raise InvalidValueError(
                f"{node.label} has no seed, so that another session would draw other slopes: {REMEDY}, or "
                "make the session with ort_rrelu.InferenceSession(model, seed=)"
            )
    if step not in drawing.read:
        raise InvalidValueError(
            f"no node in train mode reads an input {step!r}, so all draws would be the same: {REMEDY}, in "
            "train mode"
        )


def _dimension(argument: Any, step: str) -> int | str:
    if argument is None:
        raise InvalidValueError(f"the model has no input {step!r} with a step for each row: {REMEDY}")
    if argument.type != "tensor(int64)" or len(argument.shape) != 1:
        raise InvalidValueError(
            f"the model's input {step!r} is {argument.type} of shape {shape_text(argument.shape)}, "
            f"and no int64 for each row: {REMEDY}"
        )
    dimension: Dimension = argument.shape[0]
    if dimension is None:
        raise InvalidValueError(
            f"the model's input {step!r} has a dimension without a name, so nothing tells which inputs have "
            f"its rows: {REMEDY}"
        )
    return dimension


def _check_axes(dimension: int | str, inputs: list[Value], outputs: tuple[Value, ...]) -> None:
    for value in outputs:
        if value.shape[:1] != (dimension,):
            raise InvalidValueError(
                f'output "{value.name}" has shape {shape_text(value.shape)}, and does not begin with the '
                f"rows {dimension!r} of the step: leave it out of the model, or name its first dimension so "
                "when you export"
            )
    for kind, values in (("input", inputs), ("output", outputs)):
        for value in values:
            if isinstance(dimension, str) and dimension in value.shape[1:]:
                raise InvalidValueError(
                    f'{kind} "{value.name}" has shape {shape_text(value.shape)}: rows {dimension!r} on '
                    "another axis than the first cannot be repeated"
                )


def _listed(values: tuple[Value, ...]) -> str:
    return f"its inputs are {', '.join(value.name for value in values)}"


def _checked(value: Value, given: ArrayLike, shape: tuple[Dimension, ...], sizes: dict[str, int]) -> Array:
    """The array as the model wants it; the sizes that it gives named dimensions are added to `sizes`."""
    array = as_ndarray(given, f'input "{value.name}"')
    dtype = array.dtype.newbyteorder("=")
    strings = value.dtype.kind == "O" and dtype.kind in "OSU"
    if dtype != value.dtype and not strings:
        raise InvalidTypeError(
            f'input "{value.name}" has dtype {array.dtype}: the model wants '
            f"{'strings' if value.dtype.kind == 'O' else value.dtype}"
        )
    check_shape(f'input "{value.name}"', array.shape, shape, sizes)
    return array.astype(dtype, copy=False)
