"""What models are fed: arrays from files, random ones, and the step."""

from __future__ import annotations

import math
import re
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from ort_rrelu.arguments import Array, as_step
from ort_rrelu.errors import InvalidTypeError, InvalidValueError
from ort_rrelu.tensors import Dimension, check_shape, declared_shape, element_dtype, is_extension, shape_text

STEP = "step"  # the graph input of this name numbers the draws
_RANDOM_SEED = 0
_MOST_DIMENSIONS = 32  # as any NumPy has them
_MOST_ELEMENTS = 2**28  # 2 GiB of the doubles that they are drawn as


@dataclass(frozen=True)
class Input:
    """An input of a model. A dimension is a number, a name, or None when the model leaves it open.

    one_step: it is declared as one step for all rows, so that several would not be what the model was made
    for. ONNX Runtime takes any shape for a scalar.
    """

    name: str
    dtype: np.dtype[Any]
    shape: tuple[Dimension, ...]
    one_step: bool = False

    @staticmethod
    def of(argument: Any) -> Input:
        """From ONNX Runtime's NodeArg. Raises InvalidTypeError when it is no tensor that can be fed."""
        return Input._checked(argument.name, argument.type, tuple(argument.shape))

    @staticmethod
    def of_value(value: onnx.ValueInfoProto) -> Input:
        """From a model's own description of it, as `of`."""
        tensor = value.type.tensor_type
        code = onnx.TensorProto.DataType.Name(tensor.elem_type).lower()
        kind = (
            f"tensor({code})" if value.type.HasField("tensor_type") else str(value.type.WhichOneof("value"))
        )
        return Input._checked(value.name, kind, declared_shape(tensor))

    @staticmethod
    def _checked(name: str, kind: str, shape: tuple[Dimension, ...]) -> Input:
        dtype = element_dtype(kind)
        if dtype is None or dtype.kind == "O":  # objects are strings, which make no OrtValue
            raise InvalidTypeError(f'input "{name}" is {kind}: the command line cannot feed that type')
        return Input(name, dtype, shape)

    @property
    def wanted_shape(self) -> str:
        """The shape as messages show it."""
        return shape_text(self.shape)


@dataclass(frozen=True)
class _Given:
    origin: str
    array: Array


def feeds(
    inputs: Sequence[Input],
    *,
    files: Sequence[str] = (),
    dims: Sequence[str] = (),
    step: int | None = None,
    repeat: int = 1,
) -> Iterator[dict[str, Array]]:
    """The arrays of each run, by input name: from files, else random; `step` counts from run to run.

    Raises InvalidValueError, InvalidTypeError or OSError that name the input, what was given and what the
    model wants.
    """
    given = _read_all(inputs, files)
    counter = _counter(inputs, given, step)
    sizes = _sizes(inputs, dims)
    # Files first: they tell the sizes of named dimensions to the inputs that are made up.
    arrays = {i.name: _checked(i, given[i.name], sizes) for i in inputs if i.name in given}
    for index, wanted in enumerate(inputs):
        if wanted.name not in arrays and wanted is not counter:
            arrays[wanted.name] = _random(wanted, sizes, index)
    for run in range(repeat):
        if counter is not None:
            draw = np.uint64((as_step(step or 0) + run) % 2**64).astype(np.int64)
            arrays[STEP] = np.full(_resolved(counter, sizes), draw)
        yield {i.name: arrays[i.name] for i in inputs}


def common_inputs(a: str, inputs: Sequence[Input], b: str, others: Sequence[Input]) -> list[Input]:
    """The inputs of models a and b as one, which both can be fed; a dimension fixed in either is fixed.

    A step may be the input of one alone: what graph.lower made of a model has none.

    Raises InvalidValueError that names the input when they differ in names, dtype or shape.
    """
    mine, theirs = with_step_of(inputs, others), {i.name: i for i in with_step_of(others, inputs)}
    if {i.name for i in mine} != set(theirs):
        raise InvalidValueError(
            f"the models cannot be fed alike: of {a} {_listed(inputs)}; of {b} {_listed(others)}"
        )
    return [_common(a, i, b, theirs[i.name]) for i in mine]


def with_step_of(inputs: Sequence[Input], others: Sequence[Input]) -> list[Input]:
    """The inputs of a model, with the step of another where it has none."""
    names = {i.name for i in inputs}
    return [*inputs, *(i for i in others if _is_step(i) and i.name not in names)]


def _is_step(given: Input) -> bool:
    return given.name == STEP and given.dtype == np.int64


def _common(a: str, mine: Input, b: str, other: Input) -> Input:
    pairs = list(zip(mine.shape, other.shape, strict=False))
    ranks = len(mine.shape) == len(other.shape) or not mine.shape or not other.shape
    clash = any(isinstance(m, int) and isinstance(o, int) and m != o for m, o in pairs)
    clash |= any(one.one_step and two.shape not in {(), (1,)} for one, two in ((mine, other), (other, mine)))
    if mine.dtype != other.dtype or not ranks or clash:
        raise InvalidValueError(
            f'input "{mine.name}" of {a} is {mine.dtype} {mine.wanted_shape}, '
            f"of {b} {other.dtype} {other.wanted_shape}: the models cannot be fed alike"
        )
    if not mine.shape or not other.shape:  # [] stands for any rank, too
        return replace(mine if mine.shape else other, one_step=mine.one_step or other.one_step)
    return replace(mine, shape=tuple(o if isinstance(o, int) or m is None else m for m, o in pairs))


def _counter(inputs: Sequence[Input], given: dict[str, _Given], step: int | None) -> Input | None:
    """The `step` input that the command line counts itself."""
    found = next(filter(_is_step, inputs), None)
    if step is None:
        return None if STEP in given else found
    if found is None:
        raise InvalidValueError(
            f'--step {step}: the model has no int64 input named "{STEP}"; {_listed(inputs)}'
        )
    if STEP in given:
        raise InvalidValueError(f"--step {step}: {given[STEP].origin} gives the step already")
    return found


def _listed(inputs: Sequence[Input]) -> str:
    return f"its inputs are: {', '.join(i.name for i in inputs) or 'none'}"


def _read_all(inputs: Sequence[Input], files: Sequence[str]) -> dict[str, _Given]:
    given: dict[str, _Given] = {}
    for text in files:
        for name, value in _read(inputs, text).items():
            if name not in {i.name for i in inputs}:
                raise InvalidValueError(
                    f'{value.origin}: the model has no input named "{name}"; {_listed(inputs)}'
                )
            if name in given:
                raise InvalidValueError(
                    f'input "{name}" is given twice: {given[name].origin}, {value.origin}'
                )
            given[name] = value
    return given


def _read(inputs: Sequence[Input], text: str) -> dict[str, _Given]:
    """One --input: FILE.npy, NAME=FILE.npy or FILE.npz."""
    name, separator, path = text.partition("=")
    if not separator or Path(text).exists():
        name, path = "", text
    loaded = load(path)
    if isinstance(loaded, dict):
        if name:
            raise InvalidValueError(f"{text}: {path} names its arrays itself: give it without {name}=")
        return {key: _Given(path, array) for key, array in loaded.items()}
    return {name or _only(inputs, path): _Given(path, loaded)}


def _only(inputs: Sequence[Input], path: str) -> str:
    names = [i.name for i in inputs if i.name != STEP] or [i.name for i in inputs]
    if len(names) != 1:
        raise InvalidValueError(f"{path}: say for which input, as in NAME={path}; {_listed(inputs)}")
    return names[0]


def load(path: str) -> Array | dict[str, Array]:
    """The array in an .npy file, or those in an .npz file by name."""
    try:
        with Path(path).open("rb") as file:
            loaded = np.load(file, allow_pickle=False)
            return dict(loaded) if isinstance(loaded, np.lib.npyio.NpzFile) else np.asarray(loaded)
    except (ValueError, EOFError, zipfile.BadZipFile) as error:
        raise InvalidValueError(f"{path}: not a .npy or .npz file of numbers, or a damaged one") from error


def _sizes(inputs: Sequence[Input], dims: Sequence[str]) -> dict[str, int]:
    """Sizes of the named dimensions, from --dim."""
    known = sorted({d for i in inputs for d in i.shape if isinstance(d, str)})
    sizes: dict[str, int] = {}
    for text in dims:
        name, separator, size = text.rpartition("=")
        if not separator or re.fullmatch(r"[0-9]{1,18}", size) is None:
            raise InvalidValueError(f"--dim {text}: write NAME=SIZE, as in --dim batch=4")
        if name not in known:
            raise InvalidValueError(
                f'--dim {text}: no input has a dimension named "{name}"; '
                f"named dimensions: {', '.join(known) or 'none'}"
            )
        sizes[name] = int(size)
    return sizes


def _checked(wanted: Input, given: _Given, sizes: dict[str, int]) -> Array:
    """The array as the model wants it; the sizes that it gives named dimensions are added to `sizes`."""
    array = _converted(wanted, given)
    if wanted.one_step and array.size != 1:
        raise InvalidValueError(
            f'input "{wanted.name}": {given.origin} has shape {shape_text(array.shape)}, the model takes one '
            'step for all rows; graph.add_step_input(rows=True) or export(step_input="rows") makes it take '
            "one for each row"
        )
    check_shape(f'input "{wanted.name}": {given.origin}', array.shape, wanted.shape, sizes)
    return array


def _converted(wanted: Input, given: _Given) -> Array:
    array = np.asarray(given.array, order="C")
    dtype = array.dtype.newbyteorder("=")
    if dtype == wanted.dtype:
        return array.astype(dtype, copy=False)
    if is_extension(wanted.dtype):
        # A .npy file cannot name these types: NumPy writes their bits as void, people write float32.
        if dtype == np.dtype(f"V{wanted.dtype.itemsize}"):
            return array.view(wanted.dtype)
        if dtype == np.float32:
            return array.astype(wanted.dtype)
    raise InvalidTypeError(
        f'input "{wanted.name}": {given.origin} has dtype {dtype}, '
        f"the model wants {_dtype_name(wanted.dtype)}"
    )


def _dtype_name(dtype: np.dtype[Any]) -> str:
    return f"{dtype} (as float32 in the file)" if is_extension(dtype) else str(dtype)


def _resolved(wanted: Input, sizes: dict[str, int]) -> tuple[int, ...]:
    """The shape of an array that is made up. Raises InvalidValueError when there can be no such array."""
    shape = tuple(d if isinstance(d, int) else sizes.get(d, 1) if d else 1 for d in wanted.shape)
    if (
        min(shape, default=0) < 0
        or len(shape) > _MOST_DIMENSIONS
        or math.prod(filter(None, shape)) > _MOST_ELEMENTS
    ):
        raise InvalidValueError(
            f'input "{wanted.name}": no array of shape {shape_text(shape)} is made up: give it with --input '
            f"(allowed are {_MOST_DIMENSIONS} dimensions of 0 or more, and {_MOST_ELEMENTS} elements)"
        )
    return shape


def _random(wanted: Input, sizes: dict[str, int], index: int) -> Array:
    """The same in every call: standard normal numbers; 0 and 1 for integers, safe as indices."""
    generator = np.random.default_rng([_RANDOM_SEED, index])
    shape = _resolved(wanted, sizes)
    if wanted.dtype.kind in "iub":
        return generator.integers(0, 2, shape).astype(wanted.dtype)
    return np.asarray(generator.standard_normal(shape)).astype(wanted.dtype)
