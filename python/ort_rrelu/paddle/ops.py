"""RReLU on Paddle's tensors, on the kernels of the shared library, with gradients of every order.

Paddle's rrelu takes the slope where x < 0, ours where x <= 0. Forward values are the same everywhere; the
gradient at 0 is Paddle's here, 1: the noise or the reserve that is kept for it says so.
"""

from __future__ import annotations

import ctypes
import inspect
import sys
from types import FrameType
from typing import Any

import numpy as np
import paddle
from paddle import Tensor
from paddle.autograd import PyLayer, PyLayerContext
from paddle.nn import Layer

from ort_rrelu import library, schema
from ort_rrelu.arguments import Array, as_steps
from ort_rrelu.errors import InvalidTypeError, InvalidValueError
from ort_rrelu.recomputation import Draws, Steps

# By name: paddle.float32 and the rest are other objects while Paddle's old IR is in use.
_DTYPES = {f"paddle.{dtype.name}": dtype for dtype in schema.DTYPES}
RESERVE_FROM = 32_768  # elements, of which the reserve is kept for backward, one bit each, and not the noise
_PART = 2**16  # elements that are looked at together, a multiple of 8
_HALF_WORD = 2**31  # paddle.randint draws within int32, whatever its dtype


def _random_words(count: int) -> list[int]:
    words = paddle.randint(-_HALF_WORD, _HALF_WORD - 1, [count], dtype="int64")
    return [int(word) + _HALF_WORD for word in words.numpy()]


# The functions that run Paddle's backward passes, on the caller's thread.
_BACKWARD = {inspect.unwrap(f).__code__ for f in (Tensor.backward, paddle.autograd.backward, paddle.grad)}


class _Autograd:
    checkpointing = "paddle.distributed.fleet.utils.recompute"

    def mark(self) -> int:
        low, high = _random_words(2)
        return low | high << 32

    def in_backward(self) -> bool:
        # Paddle's own flag goes out with the backward pass inside the first recomputation of several.
        frame: FrameType | None = sys._getframe()
        while frame is not None and frame.f_code not in _BACKWARD:
            frame = frame.f_back
        return frame is not None

    def read(self, counter: Tensor) -> int:
        return int(counter)

    def advance(self, counter: Tensor) -> None:
        counter.increment()


_steps, _draws = Steps(_Autograd()), Draws(_Autograd())


def next_step(counter: Tensor) -> int:
    """The step of this call; the counter, one int64, moves on unless a forward is being recomputed."""
    return int(_steps.take(counter))


def draw(module: Layer) -> tuple[int, int]:
    """A key and a step, 64 bits each, from Paddle's generator, for a call of an unseeded module."""
    words = _random_words(4)
    key, step = words[0] | words[1] << 32, words[2] | words[3] << 32
    _draws.check(module, key | step << 64)
    return key, step


def _dtype(x: Tensor) -> np.dtype[Any]:
    if str(x.dtype) not in _DTYPES:
        raise InvalidTypeError(f"x has dtype {x.dtype}: it must be one of {', '.join(_DTYPES)}")
    return _DTYPES[str(x.dtype)]


def _address(tensor: Tensor) -> int:
    if not tensor.place.is_cpu_place():
        raise InvalidValueError(
            f"a tensor is on {tensor.place}: this version of ort_rrelu runs on the CPU only; "
            "paddle.set_device('cpu')"
        )
    address: int = tensor.data_ptr()
    return address


def _values(tensor: Tensor) -> Array:
    """The elements of a contiguous tensor, flat, in its own memory."""
    return _memory(tensor, _dtype(tensor))


def _memory(tensor: Tensor, dtype: np.dtype[Any]) -> Array:
    memory = (ctypes.c_byte * (tensor.size * dtype.itemsize)).from_address(_address(tensor))
    return np.ctypeslib.as_array(memory).view(dtype)


def _is_zero(values: Array) -> Array:
    """By the bits without the sign: a thread that flushes subnormals would take them for zeros."""
    bits = values.view(f"u{values.itemsize}")
    zero: Array = bits << 1 == 0
    return zero


def _apply(function: type[PyLayer], *arguments: Any) -> Tensor:
    result: Tensor = function.apply(*arguments)  # type: ignore[no-untyped-call]
    return result


class _ByNoise(PyLayer):
    @staticmethod
    def forward(ctx: PyLayerContext, x: Tensor, params: library.Params) -> Tensor:
        y, noise = paddle.empty_like(x), paddle.empty_like(x)
        library.forward(params, _address(x), _address(y), _address(noise), 0, x.size)
        if x.size:
            _values(noise)[_is_zero(_values(x))] = 1
        ctx.save_for_backward(noise)
        return y

    @staticmethod
    def backward(ctx: PyLayerContext, dy: Tensor) -> Tensor:
        (noise,) = ctx.saved_tensor()
        return _apply(_Gradient, dy, noise)


class _ByReserve(PyLayer):
    @staticmethod
    def forward(ctx: PyLayerContext, x: Tensor, params: library.Params) -> Tensor:
        y = paddle.empty_like(x)
        reserve = paddle.empty([library.reserve_bytes(x.size, params.rows)], dtype="uint8")
        library.forward(params, _address(x), _address(y), None, 0, x.size, reserve=_address(reserve))
        _leave_out_zeros(_memory(reserve, np.dtype(np.uint8)), _values(x))
        ctx.save_for_backward(reserve)
        return y

    @staticmethod
    def backward(ctx: PyLayerContext, dy: Tensor) -> Tensor:
        (reserve,) = ctx.saved_tensor()
        return _apply(_GradientOfReserve, dy, reserve)


def _leave_out_zeros(reserve: Array, x: Array) -> None:
    """Clear the bits of zeros, in place: their slope is 1."""
    bits = reserve[len(reserve) - (len(x) + 7) // 8 :]
    for begin in range(0, len(x), _PART):
        zeros = np.packbits(_is_zero(x[begin : begin + _PART]), bitorder="little")
        bits[begin // 8 : begin // 8 + len(zeros)] &= ~zeros


def _keeps_reserve(x: Tensor, params: library.Params) -> bool:
    """Is the reserve what should be kept, and does it give the bits of the noise?

    In eval mode the noise of 16-bit types is rounded, and the slope of a reserve is not. Steps of rows are in
    the reserve.
    """
    size, bytes_of_one = x.size, _dtype(x).itemsize
    if size < RESERVE_FROM or (bytes_of_one == 2 and not params.training):
        return False
    return not params.rows or 2 * library.reserve_bytes(size, params.rows) <= size * bytes_of_one


class _Gradient(PyLayer):
    @staticmethod
    def forward(ctx: PyLayerContext, dy: Tensor, noise: Tensor) -> Tensor:
        ctx.save_for_backward(noise)
        gradient = dy.contiguous()
        dx = paddle.empty_like(gradient)
        params = library.Params(schema.DTYPES[_dtype(gradient)])
        library.backward(params, _address(gradient), _address(noise), _address(dx), 0, dx.size)
        return dx

    @staticmethod  # Paddle's own signature leaves out the None for an input without gradient
    def backward(ctx: PyLayerContext, ddx: Tensor) -> tuple[Tensor, None]:  # type: ignore[override]
        (noise,) = ctx.saved_tensor()
        return _apply(_Gradient, ddx, noise), None


class _GradientOfReserve(PyLayer):
    @staticmethod
    def forward(ctx: PyLayerContext, dy: Tensor, reserve: Tensor) -> Tensor:
        ctx.save_for_backward(reserve)
        gradient = dy.contiguous()
        dx, size = paddle.empty_like(gradient), gradient.size
        params = library.Params(schema.DTYPES[_dtype(gradient)])
        saved = _address(reserve), reserve.size
        library.backward_reserve(params, _address(gradient), *saved, _address(dx), size, 0, size)
        return dx

    @staticmethod  # as _Gradient's
    def backward(ctx: PyLayerContext, ddx: Tensor) -> tuple[Tensor, None]:  # type: ignore[override]
        (reserve,) = ctx.saved_tensor()
        return _apply(_GradientOfReserve, ddx, reserve), None


def rrelu(
    x: Tensor, lower: float, upper: float, training: bool, key: int = 0, step: int | Array = 0
) -> Tensor:
    """RReLU of x, in x's dtype and shape, contiguous. key and step, 64 bits each, fix the slopes.

    step may be an array of int64 with one element, or with one for each row of x.

    Raises:
        InvalidTypeError, InvalidValueError: dtype, device, bounds or steps, by name and value.
    """
    if not isinstance(x, Tensor) or not x.is_dense():
        kind = "a sparse Tensor" if isinstance(x, Tensor) else f"a {type(x).__name__}"
        raise InvalidTypeError(f"x is {kind}: it must be a dense paddle.Tensor")
    number, steps = (step, None) if isinstance(step, int) else as_steps(step, tuple(x.shape))
    params = library.Params(schema.DTYPES[_dtype(x)], lower, upper, training, key, number % 2**64)
    if steps is not None:  # which stay alive until the kernel has returned
        params = params._replace(steps=steps.ctypes.data, rows=steps.size)
    array = x.contiguous()
    if x.stop_gradient or not paddle.is_grad_enabled():
        y = paddle.empty_like(array)
        library.forward(params, _address(array), _address(y), None, 0, array.size)
        return y
    return _apply(_ByReserve if _keeps_reserve(array, params) else _ByNoise, array, params)
