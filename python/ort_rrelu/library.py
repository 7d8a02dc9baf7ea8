"""The shared library's C API (ops/rrelu.h) through ctypes.

ctypes releases the GIL during a call, and nothing here links to Python, NumPy, torch or ONNX Runtime, so
every framework runs the same code on raw pointers.
"""

from __future__ import annotations

import ctypes
import functools
import json
import math
import numbers
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from ort_rrelu import schema
from ort_rrelu.errors import InvalidTypeError, InvalidValueError, LibraryError
from ort_rrelu.installation import REMEDY, get_library_path

_ABI = 1
_LARGEST = 2**64 - 1
_MOST = (2 - 2**-23) * 2.0**127  # that a float holds
_MESSAGE_BYTES = 512
_Message = ctypes.c_char * _MESSAGE_BYTES
_FAILED = 2  # what a function returns where the machine is at fault, and not an argument


class Params(NamedTuple):
    """One draw: how, and with which slopes. seed and step wrap to 64 bits as the kernels' counters do.

    rows of 0 draws all of x as one tensor, at `step`. Otherwise each row is drawn as a tensor alone, at a
    step of its own: `steps` is the address of as many int64, which must live as long as the call.
    """

    dtype: int
    lower: float = schema.LOWER
    upper: float = schema.UPPER
    training: bool = False
    seed: int = 0
    step: int = 0
    num_threads: int = 0
    steps: int | None = None
    rows: int = 0


# struct_size, dtype, lower, upper, training, num_threads, seed, step, steps, rows. ctypes takes bytes for a
# pointer, and they are made in less time than a Structure.
_C_PARAMS = struct.Struct("@IiffiiQQPQ")


@dataclass(frozen=True)
class CudaCall:
    """Where a call on device memory runs, and what it reads there. Addresses of the device, None for none."""

    stream: int = 0
    seed: int | None = None
    step: int | None = None
    fault: int | None = None


class _CCudaCall(ctypes.Structure):
    _fields_ = (
        ("struct_size", ctypes.c_uint32),
        ("zero", ctypes.c_uint32),
        ("stream", ctypes.c_void_p),
        ("seed", ctypes.c_void_p),
        ("step", ctypes.c_void_p),
        ("fault", ctypes.c_void_p),
    )


_DATA = ctypes.c_void_p
_SIZE = ctypes.c_uint64
_RANGE = (_SIZE, _SIZE)
_MESSAGE = (ctypes.c_char_p, ctypes.c_size_t)
_PARAMS = ctypes.c_void_p  # to constants
_CUDA = ctypes.POINTER(_CCudaCall)
_SIGNATURES: dict[str, tuple[Any, ...]] = {
    "ort_rrelu_check": (_PARAMS, *_MESSAGE),
    "ort_rrelu_reserve_bytes_of_rows": (_SIZE, _SIZE),
    "ort_rrelu_forward": (_PARAMS, _DATA, _DATA, _DATA, _DATA, _SIZE, *_RANGE, *_MESSAGE),
    "ort_rrelu_backward": (_PARAMS, _DATA, _DATA, _DATA, *_RANGE, *_MESSAGE),
    "ort_rrelu_backward_reserve": (_PARAMS, _DATA, _DATA, _SIZE, _DATA, _SIZE, *_RANGE, *_MESSAGE),
    "ort_rrelu_cuda_forward": (_PARAMS, _CUDA, _DATA, _DATA, _DATA, _DATA, _SIZE, *_RANGE, *_MESSAGE),
    "ort_rrelu_cuda_backward": (_PARAMS, _CUDA, _DATA, _DATA, _DATA, *_RANGE, *_MESSAGE),
    "ort_rrelu_cuda_backward_reserve": (
        *(_PARAMS, _CUDA, _DATA, _DATA, _SIZE, _DATA, _SIZE),
        *(*_RANGE, *_MESSAGE),
    ),
    "ort_rrelu_cuda_fault": (_DATA, *_MESSAGE),
}


@functools.cache
def _load() -> ctypes.CDLL:
    path = get_library_path()
    try:
        library = ctypes.CDLL(path)
    except OSError as error:
        raise LibraryError(
            f"the shared library {path} cannot be loaded ({error}): it is damaged, or was built for another "
            f"machine or a newer system; {REMEDY}"
        ) from error
    try:
        _declare(library)
    except AttributeError as error:
        raise LibraryError(
            f"{path} is another library, or one of another release ({error}): {REMEDY}"
        ) from error
    return library


def _declare(library: ctypes.CDLL) -> None:
    """Raises AttributeError where a function is not there."""
    if (abi := library.ort_rrelu_abi()) != _ABI:
        raise LibraryError(f"{library._name} has ABI {abi}, this package needs {_ABI}: {REMEDY}")
    for name, argument_types in _SIGNATURES.items():
        getattr(library, name).argtypes = argument_types
    library.ort_rrelu_build_info.restype = ctypes.c_char_p
    library.ort_rrelu_reserve_bytes_of_rows.restype = _SIZE


def build_info() -> dict[str, Any]:
    """What the library is: version, compiler, instruction_set, kernels, onnxruntime_headers, ..."""
    info: dict[str, Any] = json.loads(_load().ort_rrelu_build_info())
    return info


def _bound(name: str, value: float) -> float:
    if type(value) is not float and not isinstance(value, numbers.Real):
        raise InvalidTypeError(f"{name}={value!r} is not a number")
    try:
        rounded = ctypes.c_float(value).value
    except OverflowError:
        rounded = math.inf
    if math.isinf(rounded) and value not in {math.inf, -math.inf}:
        raise InvalidValueError(f"{name}={value} is too large: it must be finite in float32")
    return rounded


def _fitting(name: str, value: int, lowest: int, highest: int) -> int:
    """A number that its C type holds: ctypes itself would cut the others off."""
    if not lowest <= value <= highest:
        raise InvalidValueError(f"{name}={value}: it must be from {lowest} to {highest}")
    return value


def _int32(name: str, value: int) -> int:
    return _fitting(name, value, -(2**31), 2**31 - 1)


def _check_unsigned(names: str, values: Sequence[int | None]) -> None:
    """Sizes and addresses, in the order of the call. None is an address, null."""
    for value in values:
        # Here and not in _fitting, whose calls would take a tenth of a small tensor's time.
        if value is not None and not 0 <= value <= _LARGEST:
            _fitting(names.split()[values.index(value)], value, 0, _LARGEST)


def _c_params(params: Params) -> bytes:
    dtype, lower, upper, training, seed, step, num_threads, steps, rows = params
    # Fields that are as usual are not looked at by calls, which would take half of this time.
    if type(lower) is not float or not -_MOST <= lower <= _MOST:
        lower = _bound("lower", lower)
    if type(upper) is not float or not -_MOST <= upper <= _MOST:
        upper = _bound("upper", upper)
    wrapped = seed & _LARGEST, step & _LARGEST, steps or 0, rows & _LARGEST
    try:
        return _C_PARAMS.pack(_C_PARAMS.size, dtype, lower, upper, training, num_threads, *wrapped)
    except struct.error:
        _int32("dtype", dtype)
        _int32("training", training)
        _int32("num_threads", num_threads)
        raise


def _call(name: str, params: Params, names: str, *values: int | None, cuda: tuple[Any, ...] = ()) -> None:
    """names: of the values, sizes and addresses, for messages."""
    message = _Message()
    c_params = _c_params(params)
    _check_unsigned(names, values)
    code = getattr(_load(), name)(c_params, *cuda, *values, message, _MESSAGE_BYTES)
    if code:
        raise (LibraryError if code == _FAILED else InvalidValueError)(message.value.decode())


def _call_on_cuda(name: str, params: Params, call: CudaCall, names: str, *values: int | None) -> None:
    addresses = call.stream, call.seed, call.step, call.fault
    _check_unsigned("stream seed step fault", addresses)
    c_call = _CCudaCall(ctypes.sizeof(_CCudaCall), 0, *addresses)
    _call(name, params, names, *values, cuda=(ctypes.byref(c_call),))


def check(params: Params) -> None:
    """Raise an InvalidValueError that names the culprit unless dtype, training and bounds are allowed."""
    dtype, lower, upper, training, _seed, _step, num_threads, *_rows = params
    if type(lower) is not float or type(upper) is not float:  # which might have no hash
        lower, upper = _bound("lower", lower), _bound("upper", upper)
    _check(dtype, lower, upper, training, num_threads)


@functools.lru_cache(maxsize=1024, typed=True)
def _check(dtype: int, lower: float, upper: float, training: bool, num_threads: int) -> None:
    """What is refused is not remembered."""
    _call("ort_rrelu_check", Params(dtype, lower, upper, training, num_threads=num_threads), "")


def reserve_bytes(size: int, rows: int = 0) -> int:
    """Bytes of the reserve of a tensor of `size` elements, of which `rows` rows have steps of their own."""
    sizes = _fitting("size", size, 0, _LARGEST), _fitting("rows", rows, 0, _LARGEST)
    return int(_load().ort_rrelu_reserve_bytes_of_rows(*sizes))


# The values of a call, for messages.
_FORWARD = "x y noise reserve size begin end"
_BACKWARD = "dy noise dx begin end"
_BACKWARD_RESERVE = "dy reserve reserve_bytes dx size begin end"


def forward(
    params: Params,
    x: int,
    y: int,
    noise: int | None,
    begin: int,
    end: int,
    *,
    reserve: int | None = None,
    size: int | None = None,
) -> None:
    """Elements [begin, end) of y (and noise, and reserve) from x, on addresses of element 0.

    begin is a multiple of 8; so is end, unless it is the tensor's size, which it is when none is given. The
    call whose range begins at 0 writes the header of the reserve, and the steps of rows.
    """
    number = end if size is None else size
    _call("ort_rrelu_forward", params, _FORWARD, x, y, noise, reserve, number, begin, end)


def backward(params: Params, dy: int, noise: int, dx: int, begin: int, end: int) -> None:
    """Elements [begin, end) of dx = dy * noise, on addresses of element 0; begin is a multiple of 8."""
    _call("ort_rrelu_backward", params, _BACKWARD, dy, noise, dx, begin, end)


def backward_reserve(
    params: Params, dy: int, reserve: int, reserve_bytes: int, dx: int, size: int, begin: int, end: int
) -> None:
    """Elements [begin, end) of dx, of a tensor of `size` elements, from a whole reserve.

    Of params, dtype and num_threads count. begin and end are as in `forward`.
    """
    values = dy, reserve, reserve_bytes, dx, size, begin, end
    _call("ort_rrelu_backward_reserve", params, _BACKWARD_RESERVE, *values)


def cuda_forward(
    params: Params,
    call: CudaCall,
    x: int,
    y: int,
    noise: int | None,
    begin: int,
    end: int,
    *,
    reserve: int | None = None,
    size: int | None = None,
) -> None:
    """`forward` on addresses of CUDA memory, queued on a stream; call.seed and call.step go before params'.

    Raises LibraryError where the library has no CUDA kernels, or the driver cannot run them.
    """
    number = end if size is None else size
    values = x, y, noise, reserve, number, begin, end
    _call_on_cuda("ort_rrelu_cuda_forward", params, call, _FORWARD, *values)


def cuda_backward(params: Params, call: CudaCall, dy: int, noise: int, dx: int, begin: int, end: int) -> None:
    """`backward` on addresses of CUDA memory, queued on a stream."""
    _call_on_cuda("ort_rrelu_cuda_backward", params, call, _BACKWARD, dy, noise, dx, begin, end)


def cuda_backward_reserve(
    params: Params,
    call: CudaCall,
    dy: int,
    reserve: int,
    reserve_bytes: int,
    dx: int,
    size: int,
    begin: int,
    end: int,
) -> None:
    """`backward_reserve` on addresses of CUDA memory, queued on a stream.

    Of the reserve the host sees its length alone. Where the device finds something else wrong, dx becomes NaN
    and call.fault is raised.
    """
    values = dy, reserve, reserve_bytes, dx, size, begin, end
    _call_on_cuda("ort_rrelu_cuda_backward_reserve", params, call, _BACKWARD_RESERVE, *values)


def cuda_fault(fault: int) -> str:
    """What was wrong with a reserve, told once, or nothing; the fault's address on the host."""
    _check_unsigned("fault", [fault])
    message = _Message()
    _load().ort_rrelu_cuda_fault(fault, message, _MESSAGE_BYTES)
    return message.value.decode()
