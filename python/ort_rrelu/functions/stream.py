"""The random stream in standard operators.

ONNX Runtime before 1.21 has no uint64 arithmetic, and int64 wraps alike; only unsigned numbers are shifted.
"""

from __future__ import annotations

import functools

import numpy as np
import onnx

from ort_rrelu import schema
from ort_rrelu.functions.body import Body

NO_RANDOM_UNIFORM = 22  # the opset from which on ONNX Runtime (1.32) has no kernels of RandomUniform(Like)

_ROUNDS = 10
_MULTIPLIERS = 0xD2511F53, 0xCD9E8D57
_WEYL = 0x9E3779B9, 0xBB67AE85


def attribute(body: Body, name: str) -> str:
    """An attribute of RRelu."""
    return body.attribute(name, int(schema.schemas()[schema.RRELU].attributes[name].default_value.type))


def slopes(body: Body, x: str, opset: int, *, step: bool, seeded: bool = False) -> str:
    """The float slope of each element of x.

    step: the function has an input of that name. seeded: the seed is never negative.
    """
    lower, upper = attribute(body, "lower"), attribute(body, "upper")
    if step:
        h = _half_words_of_steps(body, x, _key(body, opset, seeded=seeded))
    else:
        number = _entropy(body, opset)
        h = _half_words(body, body("Size", x), number, _key(body, opset, seeded=seeded))
    # (2h + 1) * 2^-17, exact in float.
    odd = body("Add", body("Mul", h, body.constant(2.0, np.float32)), body.constant(1.0, np.float32))
    u = body("Mul", odd, body.constant(2.0**-17, np.float32))
    # -0 - 0 is -0, to which ONNX Runtime's optimizer would not add a lower bound of 0.
    span = body("Abs", body("Sub", upper, lower))
    flat = body("Add", lower, body("Mul", u, span))
    return body("Reshape", flat, body("Shape", x), allowzero=1)


def _half_words(body: Body, size: str, step: str, key: str) -> str:
    """The 16 bits of elements 0 .. size - 1, as floats, of one 64-bit step."""
    drawn = _of_blocks(body, body.to_uint64(_range(body, _blocks(body, size))), step, key)
    flat = body("Reshape", drawn, body.constant([-1], np.int64))
    first = body.constant([0], np.int64)
    return body("Slice", flat, first, body("Unsqueeze", size, first))


def _half_words_of_steps(body: Body, x: str, key: str) -> str:
    """The same of the input `step`, of one element or of one for each row of x: (steps, elements of each)."""
    one, every = body.constant([1], np.int64), body.constant([-1], np.int64)
    steps, count = _steps(body, x)
    # No steps: no elements either, and nothing is divided by 0.
    size = body("Div", body("Size", x), body("Squeeze", body("Max", count, one)))
    blocks = _blocks(body, size)
    # Flat counters: ONNX Runtime's loops over (steps, blocks) and (steps, 1) are twice as slow. As int64, of
    # which every release has Expand.
    grid = body("Concat", count, body("Reshape", blocks, one), axis=0)
    block, of_step = (
        body.to_uint64(body("Reshape", body("Expand", value, grid), every))
        for value in (_range(body, blocks), steps)
    )
    drawn = _of_blocks(body, block, of_step, key)
    # The second dimension is computed: -1 says nothing where there are no elements.
    rows = body("Reshape", drawn, body("Mul", grid, body.constant([1, 8], np.int64)), allowzero=1)
    return body("Slice", rows, body.constant([0], np.int64), body("Reshape", size, one), one)


def _blocks(body: Body, size: str) -> str:
    return body("Div", body("Add", size, body.constant(7, np.int64)), body.constant(8, np.int64))


def _range(body: Body, count: str) -> str:
    return body("Range", body.constant(0, np.int64), count, body.constant(1, np.int64))


def _of_blocks(body: Body, block: str, step: str, key: str) -> str:
    """The 16 bits of the eight elements of each block, as floats: (blocks, 8)."""
    words = _philox(body, (*_words(body, block), *_words(body, step)), key)
    axis = body.constant([1], np.int64)
    columns = [body("Unsqueeze", half, axis) for word in words for half in _halves(body, word)]
    return body("Concat", *columns, axis=1)


def _steps(body: Body, x: str) -> tuple[str, str]:
    """The input `step` as (steps, 1), and their number as (1,).

    The Reshape fails unless there is one, or one for each row of x; an x of no dimensions has one row. Other
    dimensions of `step` than the kernels take are no error here.
    """
    one, zero = body.constant([1], np.int64), body.constant([0], np.int64)
    count = body("Reshape", body("Size", "step"), one)
    rows = body("Slice", body("Concat", body("Shape", x), one, axis=0), zero, one)
    target = body("Where", body("Equal", count, one), one, rows)
    return body("Unsqueeze", body("Reshape", "step", target, allowzero=1), one), count


def _key(body: Body, opset: int, *, seeded: bool) -> str:
    """The seed, or 64 bits of entropy for a negative one."""
    seed = attribute(body, "seed")
    if seeded:
        return body.to_uint64(seed)
    given = body("GreaterOrEqual", seed, body.constant(0, np.int64))
    # As int64: ONNX Runtime has no Where of uint64.
    return body.to_uint64(body("Where", given, seed, body.to_int64(_entropy(body, opset))))


def _entropy(body: Body, opset: int) -> str:
    """64 bits of the runtime's own generator: 16 of each of four numbers."""
    drawn = _dropped(body) if opset >= NO_RANDOM_UNIFORM else _uniform(body)
    # Rounding may give the upper bound itself.
    words = body("BitwiseAnd", body.to_int64(body("Floor", drawn)), body.constant(0xFFFF, np.int64))
    places = body.constant([1, 2**16, 2**32, -(2**48)], np.int64)
    return body.to_uint64(body("ReduceSum", body("Mul", words, places), keepdims=0))


def _uniform(body: Body) -> str:
    return body("RandomUniform", shape=[4], low=0.0, high=65536.0, dtype=onnx.TensorProto.FLOAT)


def _dropped(body: Body) -> str:
    """By Dropout, the one random op that ONNX Runtime has in every opset: it doubles what it keeps."""
    # ONNX Runtime 1.24 refuses constants of more than 127 bytes in branches: hence four of 64.
    bits = body.constant(2.0 ** np.arange(-1, 15), np.float32)
    half, always = body.constant(0.5, np.float32), body.constant(True, np.bool_)
    drawn = (body("Dropout", bits, half, always) for _ in range(4))
    return body("Concat", *(body("ReduceSum", each) for each in drawn), axis=0)


def _words(body: Body, value: str) -> tuple[str, str]:
    """The low and the high 32 bits."""
    return _low(body, value, 32), _shifted(body, value, 32)


def _halves(body: Body, word: str) -> tuple[str, str]:
    """The low and the high 16 bits, as floats."""
    return body.to_float(_low(body, word, 16)), body.to_float(_shifted(body, word, 16))


def _low(body: Body, value: str, bits: int) -> str:
    return body("BitwiseAnd", value, body.constant(2**bits - 1, np.uint64))


def _shifted(body: Body, value: str, bits: int) -> str:
    return body("BitShift", value, body.constant(bits, np.uint64), direction="RIGHT")


def _int64(body: Body, op: str, value: str, number: int) -> str:
    return body.to_uint64(body(op, body.to_int64(value), body.constant(number, np.int64)))


def _philox(body: Body, counter: tuple[str, str, str, str], key: str) -> tuple[str, str, str, str]:
    """Philox4x32-10, a 32-bit word in each uint64."""
    xor = functools.partial(body, "BitwiseXor")
    c0, c1, c2, c3 = counter
    k0, k1 = _words(body, key)
    for number in range(_ROUNDS):
        if number:
            k0, k1 = (_low(body, _int64(body, "Add", k, w), 32) for k, w in zip((k0, k1), _WEYL, strict=True))
        p0, p1 = (_int64(body, "Mul", c, m) for c, m in zip((c0, c2), _MULTIPLIERS, strict=True))
        (low0, high0), (low1, high1) = _words(body, p0), _words(body, p1)
        c0, c1, c2, c3 = xor(xor(high1, c1), k0), low1, xor(xor(high0, c3), k1), low0
    return c0, c1, c2, c3
