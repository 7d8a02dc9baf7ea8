"""The specification in code: forward, backward and the random stream in plain NumPy.

Same signatures as functional.py, which runs the kernels; both give the same bits. ops/README.md says it in
words.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ort_rrelu import library, reserve, schema
from ort_rrelu.arguments import (
    Array,
    as_gradient,
    as_input,
    as_output,
    as_params,
    as_rrelu_function,
    as_steps,
)

_LOW32 = np.uint64(0xFFFFFFFF)
_32 = np.uint64(32)
_BLOCK = 8
_DERIVED = 0x44454553  # last counter word of derived seeds: "SEED" in ASCII, low byte first


def philox(counter: ArrayLike, key: int) -> Array:
    """Philox4x32-10 (Salmon et al. 2011).

    counter: (..., 4) 32-bit words; key: 64 bits, low word first. Returns uint32 of counter's shape.
    """
    c0, c1, c2, c3 = np.moveaxis(np.asarray(counter, dtype=np.uint64), -1, 0)
    k0, k1 = key & 0xFFFFFFFF, key >> 32
    for _ in range(10):
        p0, p1 = c0 * np.uint64(0xD2511F53), c2 * np.uint64(0xCD9E8D57)
        c0, c1, c2, c3 = (
            (p1 >> _32) ^ c1 ^ np.uint64(k0),
            p1 & _LOW32,
            (p0 >> _32) ^ c3 ^ np.uint64(k1),
            p0 & _LOW32,
        )
        k0, k1 = (k0 + 0x9E3779B9) & 0xFFFFFFFF, (k1 + 0xBB67AE85) & 0xFFFFFFFF
    return np.stack([c0, c1, c2, c3], axis=-1).astype(np.uint32)


def derive_seed(base: int, index: int) -> int:
    """The seed of node `index` in a model or session seeded with `base`: 63 bits, never base + index.

    Ensembles exported with seeds 0, 1, 2, ... would share streams otherwise.
    """
    words = philox([index & 0xFFFFFFFF, (index >> 32) & 0xFFFFFFFF, 0, _DERIVED], base)
    return (int(words[0]) | int(words[1]) << 32) & (2**63 - 1)


def fnv1a(text: str) -> int:
    """FNV-1a, 64 bits, of the text in UTF-8: numbers what has a name, for `derive_seed`."""
    number = 0xCBF29CE484222325
    for byte in text.encode():
        number = (number ^ byte) * 0x100000001B3 & (2**64 - 1)
    return number


def slopes(
    size: int,
    lower: float = schema.LOWER,
    upper: float = schema.UPPER,
    *,
    seed: int,
    step: int = 0,
    steps: Array | None = None,
) -> Array:
    """The float32 slopes of elements 0 .. size - 1, before their conversion to the tensor's dtype.

    steps: int64, one for each of as many rows, in the place of `step`: each row is drawn as a tensor alone.
    """
    rows = np.array([step & 2**64 - 1], np.uint64) if steps is None else steps.astype(np.uint64)
    row_size = size // len(rows)
    blocks = np.arange(-(-row_size // _BLOCK), dtype=np.uint64)
    counter = np.empty((len(rows), len(blocks), 4), dtype=np.uint64)
    counter[..., 0], counter[..., 1] = blocks & _LOW32, blocks >> _32
    counter[..., 2], counter[..., 3] = rows[:, None] & _LOW32, rows[:, None] >> _32
    words = philox(counter, seed)
    drawn = np.stack([words & 0xFFFF, words >> 16], axis=-1).reshape(len(rows), len(blocks) * _BLOCK)
    half_words = drawn[:, :row_size].reshape(-1)
    u = (2 * half_words + 1).astype(np.float32) * np.float32(2.0**-17)
    span = np.float32(upper) - np.float32(lower)
    return np.asarray(np.float32(lower) + u * span, dtype=np.float32)


def _wide(array: Array) -> Array:
    """In the type in which it is multiplied: double for double, else float."""
    return array if array.dtype == np.float64 else array.astype(np.float32)


def _mean_slope(lower: float, upper: float, dtype: np.dtype[Any]) -> Array:
    mean = (np.float64(np.float32(lower)) + np.float64(np.float32(upper))) / 2
    return np.asarray(mean if dtype == np.float64 else np.float32(mean))


def _factors(params: library.Params, steps: Array | None, array: Array) -> Array:
    """What an element of `array` is multiplied by where its x <= 0; in eval mode one for all."""
    if not params.training:
        return _mean_slope(params.lower, params.upper, array.dtype)
    drawn = slopes(array.size, params.lower, params.upper, seed=params.seed, step=params.step, steps=steps)
    return _wide(drawn.reshape(array.shape).astype(array.dtype))


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
    """`ort_rrelu.rrelu` in plain NumPy; see there."""
    array = as_input(x, "x")
    number, steps = as_steps(step, array.shape)
    params = as_params(array.dtype, lower, upper, training, seed, number)
    y = as_output(out, array)
    with np.errstate(all="ignore"):  # infinities, NaN and subnormals follow IEEE, silently
        leaks = array <= 0
        factor = _factors(params, steps, array)
        noise = np.where(leaks, factor.astype(array.dtype), array.dtype.type(1))
        y[...] = np.where(leaks, (_wide(array) * factor).astype(array.dtype), array)
    saved = [noise] * return_noise + [reserve.pack(params, steps, leaks)] * return_reserve
    return (y, *saved) if saved else y


def rrelu_grad(dy: ArrayLike, saved: ArrayLike) -> Array:
    """`ort_rrelu.rrelu_grad` in plain NumPy; see there."""
    gradient, kept = as_gradient(dy, saved)
    with np.errstate(all="ignore"):
        if kept.dtype != np.uint8:
            return np.asarray((_wide(gradient) * _wide(kept)).astype(gradient.dtype))
        params, steps, leaks = reserve.unpack(kept, schema.DTYPES[gradient.dtype], gradient.size)
        leaked = (_wide(gradient) * _factors(params, steps, gradient)).astype(gradient.dtype)
        return np.where(leaks.reshape(gradient.shape), leaked, gradient)
