"""RReLU on NumPy arrays, through the same kernels that ONNX Runtime and torch run."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ort_rrelu import library, schema
from ort_rrelu.arguments import (
    Array,
    as_gradient,
    as_input,
    as_output,
    as_params,
    as_rrelu_function,
    as_steps,
)


@as_rrelu_function
def rrelu(
    x: ArrayLike,
    lower: float = schema.LOWER,
    upper: float = schema.UPPER,
    training: bool = False,
    *,
    seed: int | None = None,
    step: ArrayLike = 0,
    return_noise: bool = False,
    return_reserve: bool = False,
    out: Array | None = None,
) -> Array | tuple[Array, ...]:
    """Randomized leaky ReLU (Xu et al. 2015), as torch.nn.functional.rrelu, on arrays of any shape.

    training=True draws a slope for every element, uniformly between lower and upper, and multiplies x by it
    where x <= 0. training=False multiplies by (lower + upper) / 2 there. Both bounds are rounded to float32.

    Args:
        x: float32, float64, float16 or bfloat16 (ml_dtypes); not changed unless it is `out`.
        lower, upper: finite in float32 and in x's dtype, lower <= upper.
        training: True draws slopes, False uses their mean.
        seed: 0 .. 2^63 - 1; None takes fresh entropy from the operating system.
        step: the number of the draw, any int64: the same seed, step, bounds and index give the same slope
            here, in torch and in ONNX Runtime. Or an array of int64 of shape [x.shape[0]], one for each row:
            row n then has the slopes of rrelu(x[n:n+1], step=step[n]), whatever stands beside it.
        return_noise: also return the factor of each element, for rrelu_grad.
        return_reserve: also return what rrelu_grad needs in one bit an element, an array of uint8: the draw,
            and the signs of x. rrelu_grad draws the slopes again.
        out: where y goes, of x's dtype and shape; may be x.

    Returns:
        y, or (y, noise), (y, reserve) or (y, noise, reserve), as asked for. y and noise have x's dtype and
        shape; y == x * noise in train mode.

    Raises:
        InvalidTypeError (a TypeError), InvalidValueError (a ValueError): the message names the argument.
    """
    array = as_input(x, "x")
    number, steps = as_steps(step, array.shape)
    params = as_params(array.dtype, lower, upper, training, seed, number)
    if steps is not None:
        params = params._replace(steps=steps.ctypes.data, rows=steps.size)
    y = as_output(out, array)
    source = _address(array)
    target = y if out is None or _is_writable_at_once(out, array, source) else np.empty_like(array)
    noise = np.empty_like(array) if return_noise else None
    reserve = np.empty(library.reserve_bytes(array.size, params.rows), np.uint8) if return_reserve else None
    library.forward(
        params,
        source,
        _address(target),
        None if noise is None else _address(noise),
        0,
        array.size,
        reserve=None if reserve is None else _address(reserve),
    )
    if target is not y:
        y[...] = target
    saved = [array for array in (noise, reserve) if array is not None]
    return (y, *saved) if saved else y


def _is_writable_at_once(out: Array, x: Array, address: int) -> bool:
    """Not if it is strided, not aligned, or overlaps x by halves."""
    return out.flags.carray and (_address(out) == address or not np.may_share_memory(out, x))


def _address(array: Any) -> int:
    try:
        return ctypes.addressof(ctypes.c_char.from_buffer(array))
    except (
        TypeError,
        ValueError,
        BufferError,
    ):  # read-only, empty, or bfloat16, of which buffers know nothing
        return int(array.ctypes.data)  # in four times the time


def rrelu_grad(dy: ArrayLike, saved: ArrayLike) -> Array:
    """Gradient of `rrelu`: dy times the factor of each element, in dy's dtype and shape, rounded once.

    After a train-mode call, noise and reserve give the same bits. In eval mode the reserve gives the slope in
    the precision in which `rrelu` multiplied; noise has the slope in x's dtype.

    Args:
        dy: gradient of the output, float32, float64, float16 or bfloat16.
        saved: the noise that rrelu(..., return_noise=True) returned, of dy's dtype and shape; or the reserve
            that rrelu(..., return_reserve=True) returned, for x of dy's dtype and as many elements.

    Raises:
        InvalidTypeError (a TypeError), InvalidValueError (a ValueError): the message names the argument.
    """
    gradient, kept = as_gradient(dy, saved)
    dx = np.empty_like(gradient)
    params = library.Params(schema.DTYPES[gradient.dtype])
    addresses = _address(gradient), _address(kept), _address(dx)
    if kept.dtype == np.uint8:
        library.backward_reserve(params, *addresses[:2], kept.size, addresses[2], dx.size, 0, dx.size)
    else:
        library.backward(params, *addresses, 0, dx.size)
    return dx
