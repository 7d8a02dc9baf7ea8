"""Tensors between NumPy, ONNX and ONNX Runtime: their types, bfloat16 and float8 too, and their shapes."""

from __future__ import annotations

import ctypes
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx

from ort_rrelu.arguments import Array
from ort_rrelu.errors import InvalidTypeError, InvalidValueError

# What a model says of a dimension: a size, a name, or None where it is open.
Dimension = int | str | None

_TENSOR = re.compile(r"tensor\((\w+)\)")


def element_dtype(type_name: str) -> np.dtype[Any] | None:
    """The dtype of what ONNX Runtime calls tensor(...); None when it is no tensor, or one that is packed."""
    match = _TENSOR.fullmatch(type_name)
    code = dict(onnx.TensorProto.DataType.items()).get(match[1].upper()) if match else None
    if code is None:
        return None
    dtype = onnx.helper.tensor_dtype_to_np_dtype(code)
    packed = _from_ml_dtypes(dtype) and not is_extension(dtype)
    return None if packed else dtype


def _from_ml_dtypes(dtype: np.dtype[Any]) -> bool:
    return dtype.type.__module__.startswith("ml_dtypes")


def is_extension(dtype: np.dtype[Any]) -> bool:
    """Whether NumPy's file format and ONNX Runtime's Python interface lack the type."""
    return dtype.name.startswith(("bfloat16", "float8"))


def as_ort_value(array: Array) -> Any:
    """An onnxruntime.OrtValue on the array's memory, which must outlive it."""
    from onnxruntime import OrtValue

    if not is_extension(array.dtype):
        return OrtValue.ortvalue_from_numpy(array)
    if not hasattr(OrtValue, "ortvalue_from_numpy_with_onnx_type"):
        raise InvalidTypeError(f"this onnxruntime is too old to be fed {array.dtype} from Python")
    bits = array.view(np.dtype(f"u{array.dtype.itemsize}"))
    return OrtValue.ortvalue_from_numpy_with_onnx_type(
        bits, onnx.helper.np_dtype_to_tensor_dtype(array.dtype)
    )


def as_array(value: Any) -> Array | None:
    """The tensor in an onnxruntime.OrtValue in CPU memory; None when it holds something else."""
    if not value.has_value() or not value.is_tensor():
        return None
    dtype = element_dtype(value.data_type())
    if dtype is None or not is_extension(dtype):
        return None if dtype is None else np.asarray(value.numpy())
    shape = tuple(value.shape())
    data = ctypes.string_at(value.data_ptr(), dtype.itemsize * int(np.prod(shape)))
    return np.ndarray(shape, dtype, data)


def declared_shape(tensor: onnx.TypeProto.Tensor) -> tuple[Dimension, ...]:
    """The shape that a model says a tensor has."""
    return tuple(d.dim_value if d.HasField("dim_value") else d.dim_param or None for d in tensor.shape.dim)


def shape_text(shape: Sequence[Dimension]) -> str:
    """The shape as messages have it."""
    return f"[{', '.join('?' if dim is None else str(dim) for dim in shape)}]"


def fits(shape: Sequence[int], declared: Sequence[Dimension], sizes: Mapping[str, int] | None = None) -> bool:
    """May a tensor that is declared so have this shape? sizes: those of named dimensions that are known."""
    known = sizes or {}
    wanted = [known.get(dim) if isinstance(dim, str) else dim for dim in declared]
    return len(shape) == len(wanted) and all(w in (None, n) for w, n in zip(wanted, shape, strict=True))


def check_shape(
    what: str, shape: Sequence[int], declared: Sequence[Dimension], sizes: dict[str, int]
) -> None:
    """Raise InvalidValueError for a shape that does not fit; its named dimensions go into `sizes`."""
    # ONNX Runtime reports [] for a scalar and for any rank alike: nothing can be checked there.
    if declared and not fits(shape, declared, sizes):
        known = {dim: sizes[dim] for dim in declared if isinstance(dim, str) and dim in sizes}
        where = f" with {', '.join(f'{dim}={size}' for dim, size in known.items())}" if known else ""
        raise InvalidValueError(
            f"{what} has shape {shape_text(shape)}, the model wants {shape_text(declared)}{where}"
        )
    sizes.update({dim: size for dim, size in zip(declared, shape, strict=False) if isinstance(dim, str)})
