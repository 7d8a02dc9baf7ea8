"""RReLU on NumPy arrays, through the same kernels that ONNX Runtime and torch run."""

from __future__ import annotations

from typing import Literal, overload

import numpy as np
from numpy.typing import ArrayLike

from ort_rrelu import library, schema
from ort_rrelu.arguments import Array, as_gradient, as_input, as_output, as_params

__all__ = ["rrelu", "rrelu_grad"]


@overload
def rrelu(
    x: ArrayLike,
    lower: float = ...,
    upper: float = ...,
    training: bool = ...,
    *,
    seed: int | None = ...,
    step: int = ...,
    return_noise: Literal[False] = ...,
    out: Array | None = ...,
) -> Array: ...


@overload
def rrelu(
    x: ArrayLike,
    lower: float = ...,
    upper: float = ...,
    training: bool = ...,
    *,
    seed: int | None = ...,
    step: int = ...,
    return_noise: Literal[True],
    out: Array | None = ...,
) -> tuple[Array, Array]: ...


def rrelu(
    x: ArrayLike,
    lower: float = schema.LOWER,
    upper: float = schema.UPPER,
    training: bool = False,
    *,
    seed: int | None = None,
    step: int = 0,
    return_noise: bool = False,
    out: Array | None = None,
) -> Array | tuple[Array, Array]:
    """Randomized leaky ReLU (Xu et al. 2015), as torch.nn.functional.rrelu, on arrays of any shape.

    training=True draws a slope for every element, uniformly between lower and upper, and multiplies x by it
    where x <= 0. training=False multiplies by (lower + upper) / 2 there. Both bounds are rounded to float32.

    Args:
        x: float32, float64, float16 or bfloat16 (ml_dtypes); not changed unless it is `out`.
        lower, upper: finite in float32 and in x's dtype, lower <= upper.
        training: True draws slopes, False uses their mean.
        seed: 0 .. 2^63 - 1; None takes fresh entropy from the operating system.
        step: the number of the draw, any int64: the same seed, step, bounds and index give the same slope
            here, in torch and in ONNX Runtime.
        return_noise: also return the factor of each element, which rrelu_grad needs.
        out: where y goes, of x's dtype and shape; may be x.

    Returns:
        y, or (y, noise), of x's dtype and shape; y == x * noise in train mode.

    Raises:
        InvalidTypeError (a TypeError), InvalidValueError (a ValueError): the message names the argument.
    """
    array = as_input(x, "x")
    params = as_params(array.dtype, lower, upper, training, seed, step)
    y = as_output(out, array)
    # An `out` that is strided, not aligned, or overlaps x by halves cannot be written in one pass.
    direct = y.flags.carray and (y.ctypes.data == array.ctypes.data or not np.may_share_memory(y, array))
    target = y if direct else np.empty_like(array)
    noise = np.empty_like(array) if return_noise else None
    address = None if noise is None else noise.ctypes.data
    library.forward(params, array.ctypes.data, target.ctypes.data, address, 0, array.size)
    if target is not y:
        y[...] = target
    return y if noise is None else (y, noise)


def rrelu_grad(dy: ArrayLike, saved: ArrayLike) -> Array:
    """Gradient of `rrelu`: dy * saved, in dy's dtype and shape, rounded once.

    Args:
        dy: gradient of the output, float32, float64, float16 or bfloat16.
        saved: the noise that rrelu(..., return_noise=True) returned, of dy's dtype and shape.

    Raises:
        InvalidTypeError (a TypeError), InvalidValueError (a ValueError): the message names the argument.
    """
    gradient, noise = as_gradient(dy, saved)
    dx = np.empty_like(gradient)
    params = library.Params(schema.DTYPES[gradient.dtype])
    library.backward(params, gradient.ctypes.data, noise.ctypes.data, dx.ctypes.data, 0, dx.size)
    return dx
