"""What PTX instructions compute, on arrays that hold one number for each thread.

Only what kernels may use is here. Multiplications and additions of floats without a rounding, which the
assembler may fuse, and those that flush subnormals are left out on purpose: an instruction that is not here
is an error.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

DTYPES: dict[str, np.dtype[Any]] = {
    "pred": np.dtype(np.bool_),
    "f16": np.dtype(np.float16),
    "bf16": np.dtype(ml_dtypes.bfloat16),
    "f32": np.dtype(np.float32),
    "f64": np.dtype(np.float64),
    **{f"{kind}{bits}": np.dtype(f"u{bits // 8}") for kind in "bu" for bits in (8, 16, 32, 64)},
    **{f"s{bits}": np.dtype(f"i{bits // 8}") for bits in (8, 16, 32, 64)},
}


@dataclass(frozen=True)
class Operation:
    """An instruction from registers to one register, with the types of all of them."""

    result: str
    arguments: tuple[str, ...]
    compute: Callable[..., Array]


def _copy(value: Array) -> Array:
    return np.array(value)


def _select(a: Array, b: Array, condition: Array) -> Array:
    return np.where(condition, a, b)


def _insert(source: Array, base: Array, begin: Array, count: Array) -> Array:
    """bfi: the low `count` bits of source at bit `begin` of base."""
    kind = base.dtype.type
    bits = 8 * base.dtype.itemsize
    width = np.minimum(count, np.uint32(bits)).astype(kind)
    ones = np.where(width >= kind(bits), ~kind(0), (kind(1) << np.minimum(width, kind(bits - 1))) - kind(1))
    place = np.minimum(begin, np.uint32(bits - 1)).astype(kind)
    mask = np.where(begin < bits, ones << place, kind(0)).astype(kind)
    return np.asarray((base & ~mask) | ((source << place) & mask))


def _permute(low: Array, high: Array, selector: Array) -> Array:
    """prmt: each byte is one of the eight of both, or its sign eight times."""
    both = low.astype(np.uint64) | high.astype(np.uint64) << np.uint64(32)
    result = np.zeros_like(both)
    for place in range(4):
        which = (selector >> np.uint32(4 * place)).astype(np.uint64)
        byte = (both >> np.uint64(8) * (which & np.uint64(7))) & np.uint64(0xFF)
        sign = np.where(byte >= 0x80, np.uint64(0xFF), np.uint64(0))
        byte = np.where(which & np.uint64(8), sign, byte)
        result |= byte << np.uint64(8 * place)
    return result.astype(np.uint32)


def _shift(array: Array, count: Array, shift: Callable[..., Array]) -> Array:
    """Shifts by more bits than there are give zeros, or the sign."""
    bits = 8 * array.dtype.itemsize
    inside = shift(array, np.minimum(count, np.uint32(bits - 1)).astype(array.dtype))
    beyond = array >> array.dtype.type(bits - 1) if array.dtype.kind == "i" else array.dtype.type(0)
    return np.asarray(np.where(count >= bits, beyond, inside))


def _left(array: Array, count: Array) -> Array:
    return _shift(array, count, np.left_shift)


def _right(array: Array, count: Array) -> Array:
    return _shift(array, count, np.right_shift)


def _funnel(low: Array, high: Array, count: Array, *, is_left: bool) -> Array:
    """shf.wrap: 32 bits of both words; the count is taken modulo 32."""
    both = low.astype(np.uint64) | high.astype(np.uint64) << np.uint64(32)
    bits = (count % np.uint32(32)).astype(np.uint64)
    begin = np.uint64(32) - bits if is_left else bits
    return np.asarray(both >> begin).astype(np.uint32)


def _multiply_wide(a: Array, b: Array) -> Array:
    wide = np.dtype(f"{a.dtype.kind}{2 * a.dtype.itemsize}")
    return np.asarray(np.multiply(a.astype(wide), b.astype(wide)))


def _high_of_product(a: Array, b: Array) -> Array:
    if a.dtype == np.uint32:
        return np.asarray(_multiply_wide(a, b) >> np.uint64(32)).astype(np.uint32)
    low, half = np.uint64(0xFFFFFFFF), np.uint64(32)
    a_low, a_high, b_low, b_high = a & low, a >> half, b & low, b >> half
    middle = a_high * b_low + (a_low * b_low >> half)
    return np.asarray(a_high * b_high + (middle >> half) + ((a_low * b_high + (middle & low)) >> half))


def _fused_multiply_add(a: Array, b: Array, c: Array) -> Array:
    """Of floats, rounded once: in double the product is exact, and a sum that is not is rounded to odd."""
    product, addend = a.astype(np.float64) * b.astype(np.float64), c.astype(np.float64)
    total = product + addend
    other = total - product
    error = (product - (total - other)) + (addend - other)
    inexact = np.isfinite(total) & (error != 0) & (np.asarray(total).view(np.uint64) % np.uint64(2) == 0)
    odd = np.where(inexact, np.nextafter(total, np.copysign(np.inf, error)), total)
    return np.asarray(odd).astype(np.float32)


def _converted(dtype: np.dtype[Any]) -> Callable[[Array], Array]:
    return lambda value: np.asarray(value).astype(dtype)


_COMPARISONS: dict[str, Callable[..., Array]] = {
    "eq": np.equal,
    "ne": np.not_equal,
    "lt": np.less,
    "le": np.less_equal,
    "gt": np.greater,
    "ge": np.greater_equal,
}
_OPPOSITES = {"eq": "ne", "ne": "eq", "lt": "ge", "le": "gt", "gt": "le", "ge": "lt"}


def _ordered_unequal(a: Array, b: Array) -> Array:
    return np.asarray((a < b) | (a > b))


def _not(compare: Callable[..., Array]) -> Callable[..., Array]:
    return lambda a, b: np.logical_not(compare(a, b))


def _on_integers(bits: int) -> Iterator[tuple[str, Operation]]:
    unsigned, signed, plain = f"u{bits}", f"s{bits}", f"b{bits}"
    for kind in (unsigned, signed):
        two = (kind, kind)
        yield f"add.{kind}", Operation(kind, two, np.add)
        yield f"sub.{kind}", Operation(kind, two, np.subtract)
        yield f"mul.lo.{kind}", Operation(kind, two, np.multiply)
        yield f"mad.lo.{kind}", Operation(kind, (*two, kind), lambda a, b, c: a * b + c)
        yield f"min.{kind}", Operation(kind, two, np.minimum)
        yield f"max.{kind}", Operation(kind, two, np.maximum)
        yield f"shr.{kind}", Operation(kind, (kind, "u32"), _right)
        for name, compare in _COMPARISONS.items():
            yield f"setp.{name}.{kind}", Operation("pred", two, compare)
    yield f"shl.{plain}", Operation(plain, (plain, "u32"), _left)
    yield f"neg.{signed}", Operation(signed, (signed,), np.negative)
    yield f"not.{plain}", Operation(plain, (plain,), np.invert)
    for name, function in (("and", np.bitwise_and), ("or", np.bitwise_or), ("xor", np.bitwise_xor)):
        yield f"{name}.{plain}", Operation(plain, (plain, plain), function)
    for name in ("eq", "ne"):
        yield f"setp.{name}.{plain}", Operation("pred", (plain, plain), _COMPARISONS[name])
    if bits > 16:
        yield f"bfi.{plain}", Operation(plain, (plain, plain, "u32", "u32"), _insert)
        yield f"mul.hi.{unsigned}", Operation(unsigned, (unsigned, unsigned), _high_of_product)
    if bits < 64:
        for kind in "us":
            one = f"{kind}{bits}"
            yield f"mul.wide.{one}", Operation(f"{kind}{2 * bits}", (one, one), _multiply_wide)


def _on_floats(kind: str) -> Iterator[tuple[str, Operation]]:
    two = (kind, kind)
    for name, function in (("add", np.add), ("sub", np.subtract), ("mul", np.multiply)):
        yield f"{name}.rn.{kind}", Operation(kind, two, function)
    if kind == "f32":
        yield "set.le.f32.f32", Operation(kind, two, lambda a, b: (a <= b).astype(np.float32))
        yield "fma.rn.f32", Operation(kind, (*two, kind), _fused_multiply_add)
    for name, compare in _COMPARISONS.items():
        ordered = _ordered_unequal if name == "ne" else compare
        opposite = _ordered_unequal if name == "eq" else _COMPARISONS[_OPPOSITES[name]]
        yield f"setp.{name}.{kind}", Operation("pred", two, ordered)
        yield f"setp.{name}u.{kind}", Operation("pred", two, _not(opposite))


def _moves() -> Iterator[tuple[str, Operation]]:
    for kind in DTYPES:
        yield f"mov.{kind}", Operation(kind, (kind,), _copy)
        yield f"selp.{kind}", Operation(kind, (kind, kind, "pred"), _select)
    yield "cvta.to.global.u64", Operation("u64", ("u64",), _copy)
    yield "prmt.b32", Operation("b32", ("b32", "b32", "b32"), _permute)
    for letter in "lr":
        funnel = functools.partial(_funnel, is_left=letter == "l")
        yield f"shf.{letter}.wrap.b32", Operation("b32", ("b32", "b32", "u32"), funnel)


def _conversions() -> Iterator[tuple[str, Operation]]:
    integers = [kind for kind in DTYPES if kind[0] in "us"]
    pairs = [(f"cvt.{to}.{source}", to, source) for to in integers for source in integers]
    pairs += [(f"cvt.rn.{to}.{source}", to, source) for to in ("f32", "f64") for source in integers]
    exact = [("f32", "f16"), ("f32", "bf16"), ("f64", "f32")]
    pairs += [(f"cvt.{wide}.{narrow}", wide, narrow) for wide, narrow in exact]
    pairs += [(f"cvt.rn.{narrow}.{wide}", narrow, wide) for wide, narrow in exact]
    for name, to, source in pairs:
        yield name, Operation(to, (source,), _converted(DTYPES[to]))


def _halves(word: Array, kind: str) -> Array:
    """The two 16-bit numbers of a word, the low one first, as floats."""
    return np.ascontiguousarray(word).reshape(-1, 1).view(DTYPES[kind]).astype(np.float32)


def _joined(halves: Array, kind: str) -> Array:
    """The other way round, each rounded."""
    return np.ascontiguousarray(halves.astype(DTYPES[kind])).view(np.uint32)[:, 0]


def _product_of_pairs(kind: str) -> Callable[..., Array]:
    """A product of two 16-bit numbers is exact in float; where bfloat16 is subnormal, no bit changes."""
    return lambda a, b: _joined(_halves(a, kind) * _halves(b, kind), kind)


def _product_without_addend(kind: str) -> Callable[..., Array]:
    product = _product_of_pairs(kind)

    def compute(a: Array, b: Array, c: Array) -> Array:
        assert (c == 0x80008000).all(), "only -0 may be added to a product of pairs"
        return product(a, b)

    return compute


def _on_pairs() -> Iterator[tuple[str, Operation]]:
    for kind in ("f16", "bf16"):
        two = ("b32", "b32")
        yield f"mul.rn.{kind}x2", Operation("b32", two, _product_of_pairs(kind))
        yield f"fma.rn.{kind}x2", Operation("b32", (*two, "b32"), _product_without_addend(kind))
        yield f"set.le.u32.{kind}x2", Operation("b32", two, _at_most(kind))
        yield f"cvt.rn.{kind}x2.f32", Operation("b32", ("f32", "f32"), _pair_of_floats(kind))


def _at_most(kind: str) -> Callable[..., Array]:
    """Ones in the halves where it holds."""

    def compute(a: Array, b: Array) -> Array:
        ones = np.where(_halves(a, kind) <= _halves(b, kind), np.uint16(0xFFFF), np.uint16(0))
        return np.asarray(np.ascontiguousarray(ones).view(np.uint32)[:, 0])

    return compute


def _pair_of_floats(kind: str) -> Callable[..., Array]:
    return lambda high, low: _joined(np.stack(np.broadcast_arrays(low, high), axis=-1).reshape(-1, 2), kind)


def _on_predicates() -> Iterator[tuple[str, Operation]]:
    for name, function in (("and", np.logical_and), ("or", np.logical_or), ("xor", np.logical_xor)):
        yield f"{name}.pred", Operation("pred", ("pred", "pred"), function)
    yield "not.pred", Operation("pred", ("pred",), np.logical_not)


OPERATIONS: dict[str, Operation] = dict(
    [
        *(entry for bits in (16, 32, 64) for entry in _on_integers(bits)),
        *(entry for kind in ("f32", "f64") for entry in _on_floats(kind)),
        *_moves(),
        *_conversions(),
        *_on_pairs(),
        *_on_predicates(),
    ]
)
