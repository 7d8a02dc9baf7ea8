"""Integers that models compute shapes from: constants, and the number of rows, which stays a symbol."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from ort_rrelu.graph.rows.values import Call, NotLinearError, Size, contains_rows

_Numbers = NDArray[Any]
LARGEST = 256  # elements: shapes, axes, pads and such have fewer


def tensor_numbers(tensor: onnx.TensorProto) -> _Numbers | None:
    """The elements of a small tensor of numbers that is in the model itself."""
    if tensor.data_location == onnx.TensorProto.EXTERNAL or np.prod(tensor.dims, dtype=object) > LARGEST:
        return None
    try:
        array = onnx.numpy_helper.to_array(tensor)
    except (ValueError, TypeError, KeyError):  # data and shape do not fit: the model's other readers say so
        return None
    return array if array.dtype.kind in "iufb" else None


def computed(call: Call) -> _Numbers | None:
    """The elements that a node gives, where they are few and follow from known ones.

    Raises:
        NotLinearError: they depend on the number of rows in another way than by a factor and a summand.
    """
    if (compute := _COMPUTED.get(call.op)) is None:
        return None
    if call.op not in _FROM_SHAPES and any(v is not None and v.numbers is None for v in call.inputs):
        return None
    try:
        with np.errstate(all="ignore"):
            found = compute(call)
        found = (
            None if found is None else np.asarray(found)
        )  # NumPy makes an element of an array without axes
        if found is not None and found.dtype == object and not contains_rows(found):
            found = found.astype(np.int64)
    except (IndexError, KeyError, OverflowError, ValueError):  # what does not fit, no runtime takes
        return None
    return None if found is None or found.size > LARGEST else found


def _numbers(call: Call, index: int) -> _Numbers:
    value = call.need(index)
    assert value.numbers is not None
    return value.numbers


def _plain(call: Call, index: int) -> list[int]:
    """Axes, indices and such."""
    numbers = _numbers(call, index)
    if numbers.dtype == object:
        raise NotLinearError
    return [int(n) for n in numbers.flat]


def _objects(array: Any) -> _Numbers:
    """An array of Size and int."""
    return np.asarray(array, object)


def _shape(call: Call) -> _Numbers | None:
    if call.need(0).shape is None or None in call.need(0).known_shape():
        return None
    dims = call.need(0).dims
    found = np.empty(len(dims), object)
    found[:] = dims
    return found[call.attribute("start", 0) : call.attribute("end", None)]


def _count(call: Call) -> _Numbers | None:
    dims = _shape(call)
    if dims is None:
        return None
    count: Any = 1
    for dim in dims:
        count = dim * count
    return _objects(count)


def _constant(call: Call) -> _Numbers | None:
    for name, value in call.attributes.items():
        if name == "value":
            return tensor_numbers(value)
        if name in ("value_int", "value_ints"):
            return np.asarray(value, np.int64)
        if name in ("value_float", "value_floats"):
            return np.asarray(value, np.float32)
    return None


def _binary(function: Callable[[Any, Any], Any]) -> Callable[[Call], _Numbers | None]:
    return lambda call: np.asarray(function(_numbers(call, 0), _numbers(call, 1)))


def _quotient(left: Any, right: Any) -> Any:
    if isinstance(left, Size):
        return left.divided(right)
    if isinstance(right, Size) or not right:
        raise NotLinearError
    return abs(left) // abs(right) * (1 if (left < 0) == (right < 0) else -1)


def _div(call: Call) -> _Numbers | None:
    left, right = _numbers(call, 0), _numbers(call, 1)
    if left.dtype.kind == "f":
        return np.asarray(left / right)
    if right.dtype != object and not right.all():
        return None
    return np.asarray(np.frompyfunc(_quotient, 2, 1)(left.astype(object), right.astype(object)), object)


def _mod(call: Call) -> _Numbers | None:
    left, right = _numbers(call, 0), _numbers(call, 1)
    if left.dtype == object or right.dtype == object:
        raise NotLinearError
    return None if call.attribute("fmod", 0) or not right.all() else np.asarray(np.mod(left, right))


def _same(left: Any, right: Any) -> bool:
    if not isinstance(left, Size) and not isinstance(right, Size):
        return bool(left == right)
    difference = left - right
    if not isinstance(difference, Size):
        return bool(difference == 0)
    if difference.times > 0 <= difference.more or difference.times < 0 >= difference.more:
        return False  # there is at least one row
    raise NotLinearError


def _equal(call: Call) -> _Numbers | None:
    left, right = _numbers(call, 0), _numbers(call, 1)
    return np.asarray(np.frompyfunc(_same, 2, 1)(left, right), object).astype(bool)


def _fixed_only(function: Callable[..., Any]) -> Callable[[Call], _Numbers | None]:
    """A function of numbers none of which is a Size."""

    def compute(call: Call) -> _Numbers | None:
        arrays = [_numbers(call, index) for index in range(len(call.inputs))]
        if any(array.dtype == object for array in arrays):
            raise NotLinearError
        return np.asarray(function(*arrays))

    return compute


def _cast(call: Call) -> _Numbers | None:
    numbers, to = _numbers(call, 0), call.attribute("to", 0)
    if numbers.dtype == object:
        if to not in (onnx.TensorProto.INT64, onnx.TensorProto.INT32):
            raise NotLinearError
        return numbers
    dtype = onnx.helper.tensor_dtype_to_np_dtype(to)
    return numbers.astype(dtype) if dtype.kind in "iufb" else None


def _where(call: Call) -> _Numbers | None:
    condition, left, right = (_numbers(call, index) for index in range(3))
    if condition.dtype == object:
        raise NotLinearError
    return np.where(condition, left, right)


def _concat(call: Call) -> _Numbers | None:
    arrays = [_numbers(call, index) for index in range(len(call.inputs))]
    return np.concatenate(arrays, call.attributes["axis"])


def _gather(call: Call) -> _Numbers | None:
    numbers, indices = _numbers(call, 0), _numbers(call, 1)
    if indices.dtype == object:
        raise NotLinearError
    axis = call.attribute("axis", 0)
    if np.any(indices >= numbers.shape[axis]) or np.any(indices < -numbers.shape[axis]):
        return None
    return np.take(numbers, indices, axis)


def _slice(call: Call) -> _Numbers | None:
    if call.opset < 10:
        return None
    numbers, starts, ends = _numbers(call, 0), _plain(call, 1), _plain(call, 2)
    axes = _plain(call, 3) if call.given(3) else list(range(len(starts)))
    steps = _plain(call, 4) if call.given(4) else [1] * len(starts)
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        numbers = np.take(numbers, _sliced(numbers.shape[axis], start, end, step), axis)
    return numbers


def _sliced(length: int, start: int, end: int, step: int) -> list[int]:
    """The indices that Slice takes of an axis."""
    low, high = (0, length) if step > 0 else (-1, length - 1)
    first, last = (place + length if place < 0 else place for place in (start, end))
    first = min(max(first, 0), high)
    return list(range(first, min(max(last, low), high), step)) if step else []


def _squeeze(call: Call) -> _Numbers | None:
    numbers = _numbers(call, 0)
    axes = call.attribute("axes", None) if call.opset < 13 else _plain(call, 1) if call.given(1) else None
    return np.squeeze(numbers, None if axes is None else tuple(axes))


def _unsqueeze(call: Call) -> _Numbers | None:
    axes = call.attributes["axes"] if call.opset < 13 else _plain(call, 1)
    return np.expand_dims(_numbers(call, 0), tuple(axes))


def _reshape(call: Call) -> _Numbers | None:
    numbers, dims = _numbers(call, 0), _plain(call, 1)
    return None if 0 in dims else numbers.reshape(dims)


def _transpose(call: Call) -> _Numbers | None:
    return np.transpose(_numbers(call, 0), call.attribute("perm", None))


def _filled(call: Call) -> _Numbers | None:
    if call.need(0).sized or np.prod(_numbers(call, 0), dtype=object) > LARGEST:
        return None
    value = call.attribute("value", None)
    fill = np.zeros(1, np.float32) if value is None else tensor_numbers(value)
    return None if fill is None else np.full(_plain(call, 0), fill.reshape(-1)[0], fill.dtype)


def _range(call: Call) -> _Numbers | None:
    if any(call.need(index).sized for index in range(3)):
        raise NotLinearError
    start, limit, step = (_numbers(call, index).reshape(-1)[0] for index in range(3))
    if start.dtype.kind not in "iu" or not step or (int(limit) - int(start)) // int(step) > LARGEST:
        return None
    return np.arange(start, limit, step)


# What works on shapes alone needs no known elements.
_FROM_SHAPES = {"Shape", "Size"}

_COMPUTED: dict[str, Callable[[Call], _Numbers | None]] = {
    "Shape": _shape,
    "Size": _count,
    "Constant": _constant,
    "Identity": lambda call: _numbers(call, 0),
    "Add": _binary(operator.add),
    "Sub": _binary(operator.sub),
    "Mul": _binary(operator.mul),
    "Div": _div,
    "Mod": _mod,
    "Equal": _equal,
    "Cast": _cast,
    "Where": _where,
    "Concat": _concat,
    "Gather": _gather,
    "Slice": _slice,
    "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze,
    "Reshape": _reshape,
    "Transpose": _transpose,
    "ConstantOfShape": _filled,
    "Range": _range,
    **{
        op: _fixed_only(function)
        for op, function in {
            "Floor": np.floor,
            "Ceil": np.ceil,
            "Neg": np.negative,
            "Abs": np.abs,
            "Not": np.logical_not,
            "And": np.logical_and,
            "Or": np.logical_or,
            "Less": np.less,
            "LessOrEqual": np.less_equal,
            "Greater": np.greater,
            "GreaterOrEqual": np.greater_equal,
        }.items()
    },
}
