"""What `export` feeds a torch model: example inputs, and which of their axes may have any size."""

from __future__ import annotations

import keyword
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import torch

from ort_rrelu.commands.feed import load
from ort_rrelu.errors import ConversionError, InvalidTypeError, InvalidValueError

_FLOATS = ("float32", "float64", "float16", "bfloat16")
_INTEGERS = ("int64", "int32", "int16", "int8", "uint8", "bool")
DTYPES = (*_FLOATS, *_INTEGERS)
_SHAPE = re.compile(r" *(?:(?P<dtype>\w+) *: *)?(?P<dims>(?:[0-9]{1,18}(?: *, *[0-9]{1,18})*)?) *")


def example_inputs(shapes: Sequence[str], files: Sequence[str]) -> tuple[torch.Tensor, ...]:
    """Tensors in the order of forward's arguments, from shapes or from .npy files.

    Raises InvalidValueError, InvalidTypeError or OSError that name what was given.
    """
    if bool(shapes) == bool(files):
        raise InvalidValueError(
            "example inputs are needed, one for each argument of forward: "
            "either --input-shape, as in 1,3,32,32, or --input FILE.npy"
        )
    return tuple([_random(text) for text in shapes] or [_from_file(path) for path in files])


def _random(text: str) -> torch.Tensor:
    match = _SHAPE.fullmatch(text)
    if match is None or not text.strip():
        raise InvalidValueError(
            f"--input-shape {text}: write sizes with commas, as in 1,3,32,32, or with a dtype, int64:1,128"
        )
    name = match["dtype"] or "float32"
    if name not in DTYPES:
        raise InvalidValueError(
            f"--input-shape {text}: unknown dtype {name!r}: it must be {', '.join(DTYPES)}"
        )
    shape = [int(size) for size in match["dims"].split(",") if size]
    generator = torch.Generator().manual_seed(0)
    dtype: torch.dtype = getattr(torch, name)
    if name in _FLOATS:
        return torch.randn(shape, generator=generator).to(dtype)
    return torch.randint(0, 2, shape, generator=generator).to(dtype)  # safe as indices


def _from_file(path: str) -> torch.Tensor:
    array = load(path)
    if isinstance(array, dict):
        raise InvalidValueError(f"{path}: an .npz file has no order: give one .npy file for each argument")
    native = np.array(array, dtype=array.dtype.newbyteorder("="), order="C")
    try:
        return torch.from_numpy(native)
    except TypeError as error:
        raise InvalidTypeError(f"{path} has dtype {array.dtype}, which torch does not have") from error


Axes = Sequence[Mapping[int, str]]
"""For each input, axis -> name of its size."""

_BATCH = "batch"
_FORM = re.compile(r"(?P<input>[^:=]+):(?P<axis>-?\d+)=(?P<name>.+)")


def named_axes(
    inputs: Sequence[torch.Tensor], names: Sequence[str], *, batch: bool, wanted: Sequence[str]
) -> Axes:
    """What the options say of example inputs with these names.

    Args:
        batch: --dynamic-batch: the first axis of all inputs that are there as long as in the first one. Of
            other inputs, as an edge list [2, E], it counts something else.
        wanted: of --dynamic-axis, each "INPUT:AXIS=NAME".

    Raises InvalidValueError that names the option, and what is allowed.
    """
    axes: list[dict[int, str]] = [{} for _ in inputs]
    for text in wanted:
        position, axis, name = _parsed(text, inputs, names)
        if axes[position].setdefault(axis, name) != name:
            raise InvalidValueError(
                f"--dynamic-axis {text}: {names[position]}:{axis} has another name, {axes[position][axis]}"
            )
    if batch:
        size = next((tensor.shape[0] for tensor in inputs if tensor.dim()), None)
        for tensor, named in zip(inputs, axes, strict=True):
            if tensor.dim() and tensor.shape[0] == size:
                named.setdefault(0, _BATCH)
    _check_sizes(inputs, names, axes)
    return axes


def _parsed(text: str, inputs: Sequence[torch.Tensor], names: Sequence[str]) -> tuple[int, int, str]:
    """Position of the input, axis, name of its size."""
    match = _FORM.fullmatch(text)
    if match is None:
        raise InvalidValueError(f"--dynamic-axis {text}: write INPUT:AXIS=NAME, as in {names[0]}:1=length")
    if match["input"] not in names:
        raise InvalidValueError(
            f"--dynamic-axis {text}: the model has no input {match['input']!r}, only {', '.join(names)}"
        )
    if not match["name"].isidentifier() or keyword.iskeyword(match["name"]):
        raise InvalidValueError(
            f"--dynamic-axis {text}: {match['name']!r} must be a name, of letters, digits and _"
        )
    position, axis = names.index(match["input"]), int(match["axis"])
    count = inputs[position].dim()
    if not count:
        raise InvalidValueError(f"--dynamic-axis {text}: {match['input']} is a scalar, without axes")
    if not -count <= axis < count:
        raise InvalidValueError(
            f"--dynamic-axis {text}: {match['input']} has {count} axes, from {-count} to {count - 1}"
        )
    return position, axis % count, match["name"]


def _check_sizes(inputs: Sequence[torch.Tensor], names: Sequence[str], axes: Axes) -> None:
    sizes: dict[str, tuple[int, str]] = {}
    for tensor, name, named in zip(inputs, names, axes, strict=True):
        for axis, size_name in named.items():
            place = f"axis {axis} of {name}"
            size, first = sizes.setdefault(size_name, (tensor.shape[axis], place))
            if size != tensor.shape[axis]:
                raise InvalidValueError(
                    f"--dynamic-axis: {first} and {place} are both named {size_name}, and their example "
                    f"sizes differ, {size} and {tensor.shape[axis]}"
                )


def enlarged(inputs: Sequence[torch.Tensor], axes: Axes) -> tuple[torch.Tensor, ...]:
    """The inputs with 2 for a size of 1 that is named: torch fixes 1 where a model looks at it."""

    def one(tensor: torch.Tensor, named: Mapping[int, str]) -> torch.Tensor:
        for axis in named:
            if tensor.shape[axis] == 1:
                tensor = torch.cat([tensor, tensor], axis)
        return tensor

    return tuple(one(tensor, named) for tensor, named in zip(inputs, axes, strict=True))


def dynamic_arguments(axes: Axes, names: Sequence[str], *, dynamo: bool) -> dict[str, Any]:
    """The exporter's arguments for these axes; none where no axis is named."""
    if not any(axes):
        return {}
    if not dynamo:
        return {"dynamic_axes": {name: dict(named) for name, named in zip(names, axes, strict=True) if named}}
    sizes = {name: torch.export.Dim(name) for named in axes for name in named.values()}
    return {"dynamic_shapes": tuple({axis: sizes[name] for axis, name in named.items()} for named in axes)}


def check_dynamic(text: str, model: onnx.ModelProto, axes: Axes) -> None:
    """Raise ConversionError where torch fixed, without a word, a size that the model needs as it is."""
    for value, named in zip(model.graph.input, axes, strict=False):  # a step comes last
        for axis, name in named.items():
            size = value.type.tensor_type.shape.dim[axis]
            if size.HasField("dim_value"):
                option = "--dynamic-batch" if name == _BATCH else f"--dynamic-axis {value.name}:{axis}={name}"
                raise ConversionError(
                    f"{option}: {text} works for one size of its input {value.name!r} only, in axis {axis}, "
                    f"{size.dim_value}: export it without"
                )
