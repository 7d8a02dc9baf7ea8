"""The interpreter itself, on PTX written by hand: each check stops what it is for; arithmetic is right."""

from __future__ import annotations

import re
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from tests.bits import assert_same_bits
from tests.device_code import ptx
from tests.device_code.arithmetic import DTYPES, OPERATIONS
from tests.device_code.grid import Program
from tests.device_code.memory import FaultError, Memory
from tests.onnx_models import Array

# A: 64 words that are set. B: 64 words that are not. %rd3 and %rd4 are their addresses for each thread.
_KERNEL = """
.version 9.0
.target sm_90
.address_size 64

.shared .align 8 .u64 kept;

.entry tried(
	.param .u64 tried_param_0,
	.param .u64 tried_param_1
)
.maxntid 64, 1, 1
{
	.local .align 4 .b8 	__local_depot0[8];
	.reg .b64 	%SPL;
	.reg .pred 	%p<9>;
	.reg .b16 	%rs<9>;
	.reg .f32 	%f<9>;
	.reg .b32 	%r<9>;
	.reg .b64 	%rd<9>;

	mov.u64 	%SPL, __local_depot0;
	ld.param.u64 	%rd1, [tried_param_0];
	ld.param.u64 	%rd2, [tried_param_1];
	mov.u32 	%r1, %tid.x;
	mul.wide.u32 	%rd5, %r1, 4;
	add.s64 	%rd3, %rd1, %rd5;
	add.s64 	%rd4, %rd2, %rd5;
CODE
	ret;

}
"""


def _run(code: str, folder: Path) -> Array:
    """B after 64 threads ran the code."""
    path = folder / "tried.ptx"
    path.write_text(_KERNEL.replace("CODE", code), "utf-8")
    memory = Memory()
    addresses = [memory.put(np.arange(64, dtype=np.uint32)), memory.room(256)]
    Program(ptx.kernels(path)["tried"]).run(memory, 1, 64, np.array(addresses, np.uint64).tobytes())
    return memory.read(addresses[1]).view(np.uint32)


# Threads from 40 on go elsewhere: they are in the second warp.
_APART = "setp.ge.u32 %p1, %r1, 40;\n@%p1 bra $L__1;\n"

_FAULTS = {
    "64 threads leave an array of 256 bytes, the first at byte 256": "ld.global.u32 %r2, [%rd3+256];",
    "address 0x7efffffffffc is of no array": "ld.global.u32 %r2, [%rd3+-4];",
    "1 threads leave an array of 256 bytes, the first at byte 256.*st.global": "st.global.u32 [%rd4+4], %r1;",
    "address 0x0 is of no array": "mov.u64 %rd6, 0;\nld.global.u32 %r2, [%rd6];",
    "8 bytes that is not aligned to them": "ld.global.v2.u32 {%r2, %r3}, [%rd3];",
    "a load of bytes that nothing was written to": "ld.global.u32 %r2, [%rd4];",
    "a byte is written twice": "st.global.u32 [%rd4], %r1;\nst.global.u8 [%rd4+3], %r1;",
    "two threads write one byte": "st.global.u32 [%rd2], %r1;",
    "a load of what another thread of the grid has written": (
        "st.global.u32 [%rd4], %r1;\nld.global.u32 %r2, [%rd2];"
    ),
    "a store to what another thread of the grid has read": (
        "ld.global.u32 %r2, [%rd1];\nst.global.u32 [%rd3], %r1;"
    ),
    "%r2 is read before it is set": "st.global.u32 [%rd4], %r2;",
    "%r2 is read before it is set in every thread": (
        f"{_APART}mov.u32 %r2, 1;\n$L__1:\nst.global.u32 [%rd4], %r2;"
    ),
    "a load of local memory that nothing was written to": (
        "st.local.u32 [%SPL], %r1;\nld.local.u32 %r2, [%SPL+4];"
    ),
    "an access beyond 8 bytes of local memory": "st.local.u32 [%SPL+8], %r1;",
    "2 bytes of local memory that is not aligned": "st.local.u16 [%SPL+1], %r1;",
    "a load of shared memory that nothing was written to": "ld.shared.u64 %rd6, [kept];",
    "two threads write one byte of shared memory": "st.shared.u64 [kept], %rd1;",
    "no barrier between a store to shared memory": (
        "setp.ne.u32 %p1, %r1, 0;\n@%p1 bra $L__1;\nst.shared.u64 [kept], %rd1;\n$L__1:\n"
        "ld.shared.u64 %rd6, [kept];"
    ),
    "24 threads of block 0 do not come to a barrier": f"{_APART}bar.sync 0;\n$L__1:\n",
    "24 threads of block 0 do not come to a barrier$": (  # but to another one
        f"{_APART}bar.sync 0;\nbra.uni $L__2;\n$L__1:\nbar.sync 0;\n$L__2:\n"
    ),
    "24 lanes are missing at a shuffle of warp 1": (
        f"{_APART}shfl.sync.bfly.b32 %r2|%p2, %r1, 1, 31, -1;\n$L__1:\n"
    ),
    "a shuffle of a part of a warp": "shfl.sync.bfly.b32 %r2|%p2, %r1, 1, 31, 65535;",
    "16 bytes that are not side by side in a warp": (
        "mul.wide.u32 %rd6, %r1, 32;\nadd.s64 %rd7, %rd1, %rd6;\nsetp.ge.u32 %p1, %r1, 8;\n"
        "@%p1 bra $L__1;\nld.global.v4.u32 {%r2, %r3, %r4, %r5}, [%rd7];\n$L__1:\n"
    ),
    "no fence between a store and a word that others look at": (
        "st.global.u32 [%rd4], %r1;\nst.volatile.global.u32 [%rd1], %r1;"
    ),
    "no fence between a word that others look at and a store": (
        "atom.global.sys.cas.b32 %r2, [%rd1], 0, 3;\nst.global.u32 [%rd4], %r1;"
    ),
    "a shuffle from a lane that a warp does not have": "shfl.sync.bfly.b32 %r2|%p2, %r1, 32, 31, -1;",
    # Fused where the assembler likes, or flushing subnormals.
    "mul.f32 is not an instruction that kernels may use": "mul.f32 %f1, %f2, %f3;",
    "mul.rn.ftz.f32 is not an instruction": "mul.rn.ftz.f32 %f1, %f2, %f3;",
}


@pytest.mark.parametrize("message", _FAULTS)
def test_what_a_kernel_must_not_do(message: str, tmp_path: Path) -> None:
    with pytest.raises(FaultError, match=message):
        _run(_FAULTS[message], tmp_path)


def test_threads_that_part_meet_again(tmp_path: Path) -> None:
    """A loop that runs as often as a thread's number says, an exchange of all, and a barrier."""
    code = """
	mov.u32 %r2, 0;
	mov.u32 %r3, 0;
$L__1:
	setp.eq.s32 %p1, %r3, %r1;
	@%p1 bra $L__2;
	add.s32 %r2, %r2, %r3;
	add.s32 %r3, %r3, 1;
	bra.uni $L__1;
$L__2:
	shfl.sync.bfly.b32 %r4|%p2, %r2, 31, 31, -1;
	setp.ne.u32 %p1, %r1, 7;
	@%p1 bra $L__3;
	cvt.u64.u32 %rd6, %r4;
	st.shared.u64 [kept], %rd6;
$L__3:
	bar.sync 0;
	ld.shared.u64 %rd7, [kept];
	cvt.u32.u64 %r5, %rd7;
	add.s32 %r6, %r4, %r5;
	st.global.u32 [%rd4], %r6;"""
    sums = np.arange(64) * (np.arange(64) - 1) // 2
    given = sums[np.arange(64) ^ 31]
    np.testing.assert_array_equal(_run(code, tmp_path), given + given[7])


def _numbers(kind: str) -> Array:
    dtype = DTYPES[kind]
    if kind == "pred":
        return np.array([True, False])
    if kind in {"f16", "bf16", "f32", "f64"}:
        return np.array([0.0, -0.0, 1.5, -2.25, 3e-5, np.inf, -np.inf, np.nan, 65504.0]).astype(dtype)
    bits = 8 * dtype.itemsize
    words = [0, 1, 2, 5, 31, 2**bits - 1, 2 ** (bits - 1), 2 ** (bits - 1) - 1, 0xA5C3_96F0_1234_8765]
    return np.array([word % 2**bits for word in words], f"u{dtype.itemsize}").view(dtype)


def _wrapped(value: int, kind: str) -> int:
    bits = int(re.sub(r"\D", "", kind))
    value %= 2**bits
    return value - 2**bits if kind[0] == "s" and value >= 2 ** (bits - 1) else value


_EXACT: dict[str, Callable[..., int]] = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul.lo": lambda a, b: a * b,
    "mul.wide": lambda a, b: a * b,
    "min": min,
    "max": max,
    "and": lambda a, b: a & b,
    "or": lambda a, b: a | b,
    "xor": lambda a, b: a ^ b,
    "neg": lambda a: -a,
    "not": lambda a: ~a,
    "shl": lambda a, b: a << b if b < 64 else 0,
    "shr": lambda a, b: a >> b,
}


def test_arithmetic_of_integers() -> None:
    """All operations on all pairs of some numbers, against Python's integers."""
    tried = 0
    for name, operation in OPERATIONS.items():
        base, kind = name.rsplit(".", 1)
        exact = _EXACT.get(base)
        if exact is None or kind[0] not in "usb":
            continue
        grids = np.meshgrid(*[_numbers(kind) for kind in operation.arguments], indexing="ij")
        arrays = [grid.reshape(-1) for grid in grids]
        with np.errstate(all="ignore"):
            actual = operation.compute(*arrays).astype(DTYPES[operation.result])
        expected = [_wrapped(exact(*map(int, row)), operation.result) for row in zip(*arrays, strict=True)]
        assert actual.tolist() == expected, name
        tried += 1
    assert tried > 50


def test_high_halves_bytes_and_fields() -> None:
    words = _numbers("u64")
    a, b = (grid.reshape(-1) for grid in np.meshgrid(words, words))
    high = [int(x) * int(y) >> 64 for x, y in zip(a, b, strict=True)]
    assert OPERATIONS["mul.hi.u64"].compute(a, b).tolist() == high
    low, up = np.array([0x33221100], np.uint32), np.array([0x77E65544], np.uint32)
    selector = np.array([0x5E70], np.uint32)  # bytes 0 and 7, the sign of byte 6, byte 5
    assert OPERATIONS["prmt.b32"].compute(low, up, selector).tolist() == [0x55FF7700]
    counts = np.array([0, 8, 31, 32, 40], np.uint32)
    for letter, shifted in [
        ("l", [0x77E65544, 0xE6554433, 0x19910880, 0x77E65544, 0xE6554433]),
        ("r", [0x33221100, 0x44332211, 0xEFCCAA88, 0x33221100, 0x44332211]),
    ]:
        assert OPERATIONS[f"shf.{letter}.wrap.b32"].compute(low, up, counts).tolist() == shifted
    insert = OPERATIONS["bfi.b32"].compute
    one = np.array([0xFFFFFFFF], np.uint32)
    for begin, count, expected in [
        (8, 8, 0xFF00),
        (28, 8, 0xF0000000),
        (0, 32, 0xFFFFFFFF),
        (5, 0, 0),
        (32, 4, 0),
    ]:
        fields = (np.array([n], np.uint32) for n in (begin, count))
        assert insert(one, np.zeros(1, np.uint32), *fields).tolist() == [expected]


@pytest.mark.parametrize(
    ("name", "on_less", "on_equal", "on_nan"),
    [
        *[("eq", False, True, False), ("ne", True, False, False), ("lt", True, False, False)],
        *[("le", True, True, False), ("gt", False, False, False), ("ge", False, True, False)],
        *[("equ", False, True, True), ("neu", True, False, True), ("ltu", True, False, True)],
        *[("leu", True, True, True), ("gtu", False, False, True), ("geu", False, True, True)],
    ],
)
def test_comparisons_of_floats(name: str, on_less: bool, on_equal: bool, on_nan: bool) -> None:
    compare = OPERATIONS[f"setp.{name}.f32"].compute
    a, b = np.array([1, 2, np.nan], np.float32), np.array([2, 2, 2], np.float32)
    assert compare(a, b).tolist() == [on_less, on_equal, on_nan]


def test_a_fused_multiply_add_rounds_once() -> None:
    """On numbers whose sum is rounded twice elsewhere, against integers."""
    generator = np.random.default_rng(3)
    a, b, c = (generator.integers(2**23, 2**24, 20000).astype(np.float32) for _ in range(3))
    c *= np.float32(2.0) ** generator.integers(-30, 30, c.size).astype(np.float32)
    a[:2], b[:2], c[:2] = [2**23 + 1, 2**12], [2**23 + 1, 2**12], [2.0**-30, -(2.0**24)]
    exact = [
        Fraction(float(x)) * Fraction(float(y)) + Fraction(float(z)) for x, y, z in zip(a, b, c, strict=True)
    ]
    actual = OPERATIONS["fma.rn.f32"].compute(a, b, c)
    for number, got in zip(exact, actual, strict=True):
        near = [np.nextafter(got, np.float32(side)) for side in (-np.inf, np.inf)]
        distance = abs(Fraction(float(got)) - number)
        others = [abs(Fraction(float(value)) - number) for value in near]
        assert distance < min(others) or (distance == min(others) and got.view(np.uint32) % 2 == 0)


def test_the_midpoints_of_all_half_words() -> None:
    """As ops/slope.h has them for the device and for the host."""
    half_words = np.arange(65536, dtype=np.uint32)
    large = (np.uint32(0x4B000000) | half_words).view(np.float32)
    last = np.float32(2.0**-17) - np.float32(128)
    fused = OPERATIONS["fma.rn.f32"].compute(large, np.float32(2.0**-16), last)
    np.testing.assert_array_equal(fused, (2 * half_words + 1).astype(np.float32) * np.float32(2.0**-17))


@pytest.mark.parametrize("kind", ["f16", "bf16"])
def test_pairs(kind: str) -> None:
    """Two 16-bit numbers in a word: products, comparisons, conversions."""
    numbers = np.array([[1.5, -2.25], [np.nan, 0.0], [-0.0, 65504.0], [1e-6, -np.inf]]).astype(DTYPES[kind])
    a, b = numbers.view(np.uint32)[:, 0], numbers[::-1].copy().view(np.uint32)[:, 0]
    with np.errstate(all="ignore"):
        product = OPERATIONS[f"mul.rn.{kind}x2"].compute(a, b)
        fused = OPERATIONS[f"fma.rn.{kind}x2"].compute(a, b, np.full(4, 0x80008000, np.uint32))
        expected = (numbers.astype(np.float32) * numbers[::-1].astype(np.float32)).astype(DTYPES[kind])
    for got in (product, fused):
        assert_same_bits(got[:, None].view(DTYPES[kind]), expected)
    at_most = OPERATIONS[f"set.le.u32.{kind}x2"].compute(a, np.zeros(4, np.uint32))
    assert at_most.tolist() == [0xFFFF0000, 0xFFFF0000, 0x0000FFFF, 0xFFFF0000]
    low, high = np.array([1.0, 1 / 3], np.float32), np.array([-2.0, 1e-3], np.float32)
    pair = OPERATIONS[f"cvt.rn.{kind}x2.f32"].compute(high, low)
    assert_same_bits(pair[:, None].view(DTYPES[kind]), np.stack([low, high], axis=1).astype(DTYPES[kind]))


def test_products_of_bfloat16_round_twice_as_once() -> None:
    """Of all significands, where the product is subnormal; elsewhere float holds it.

    The tie that float would make of a smaller number is 65,536 units of that number's last place, and 65,535
    is no product of two numbers below 256.
    """
    significands = np.arange(256, dtype=np.float64)
    exact = np.multiply.outer(significands, significands)
    for exponent in range(-152, -125):
        a = (significands * 2.0**-70).astype(DTYPES["bf16"]).astype(np.float32)
        b = (significands * 2.0 ** (exponent + 70)).astype(DTYPES["bf16"]).astype(np.float32)
        assert (np.multiply.outer(a.astype(np.float64), b.astype(np.float64)) == exact * 2.0**exponent).all()
        twice = np.multiply.outer(a, b).astype(DTYPES["bf16"]).astype(np.float64)
        once = np.rint(exact * 2.0 ** (exponent + 133)) * 2.0**-133
        subnormal = exact * 2.0**exponent < 2.0**-126
        assert (twice == once)[subnormal].all()
