"""The table of known answers: `python tests/known_answers.py` writes it, `rows` reads it.

The answers come from Python integers and `struct` alone, not from the code under test; those of Philox and
FNV-1a that have been published are written down here as they were published.
"""

from __future__ import annotations

import itertools
import math
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path

TABLE = Path(__file__).with_name("known_answers.txt")

_HEADER = """\
# Known answers of the random stream, read by the tests in every language. Written by known_answers.py.
#
# philox4x32-10 <counter, 4 words> <key, 2 words> -> <4 words>
# slope <seed> <step> <lower, float bits> <upper, float bits> <element> -> <slope, float bits>
# derived_seed <base> <index> -> <seed>
# fnv1a <UTF-8 text without spaces, may be empty> -> <64-bit hash>
# reserve <dtype> <training> <lower, float bits> <upper, float bits> <seed> <step> <elements of X, float bits>
#   -> <bytes>
# row_slope <seed> <rows> <steps> <size of X> <lower, float bits> <upper, float bits> <element>
#   -> <slope, float bits>
# row_reserve <dtype> <training> <lower, float bits> <upper, float bits> <seed> <rows> <steps>
#   <elements of X, float bits> -> <bytes>
#
# Words, bits, hashes and bytes are hexadecimal; seeds, steps, elements and indices decimal, steps signed.
"""

# From Random123's tests/kat_vectors.
_PUBLISHED_PHILOX = {
    ((0, 0, 0, 0), (0, 0)): "6627e8d5 e169c58d bc57ac4c 9b00dbd8",
    ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2): "408f276d 41c83b0e a20bc7c6 6d5451fd",
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
    ): "d16cfe09 94fdcceb 5001e420 24126ea1",
}

# From the authors' test suite (Fowler, Noll, Vo).
_PUBLISHED_FNV1A = {"": "cbf29ce484222325", "a": "af63dc4c8601ec8c", "foobar": "85944171f73967e8"}

_SEEDS = [0, 42, 2**63 - 1]
_STEPS = [0, 1, 2**32, 2**40 + 3, -1, -(2**63), 2**63 - 1]
_ELEMENTS = [*range(17), 32767, 32768, 65543, 2**32, 2**35 - 1, 2**35, 2**40 + 5, 2**61 + 3]
_BOUNDS = [
    ("default", 0.125, 1 / 3),
    ("equal", 0.25, 0.25),
    ("zero", 0.0, 0.0),
    ("negative", -0.75, -0.1),
    ("around zero", -1.0, 1.0),
    ("above 1", 1.5, 4.0),
    ("one ulp apart", 1.0, 1.0 + 2**-23),
    ("subnormal", 2.0**-149, 2.0**-140),
    ("subnormal span", 2.0**-126, 2.0**-126 + 2.0**-149),
    ("span that loses the lower bound", -1e-8, 3e30),
    ("largest span", 0.0, 3.4028234663852886e38),
]


def philox(counter: tuple[int, ...], key: tuple[int, ...]) -> tuple[int, ...]:
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(10):
        high0, low0 = divmod(c0 * 0xD2511F53, 2**32)
        high1, low1 = divmod(c2 * 0xCD9E8D57, 2**32)
        c0, c1, c2, c3 = high1 ^ c1 ^ k0, low1, high0 ^ c3 ^ k1, low0
        k0, k1 = (k0 + 0x9E3779B9) % 2**32, (k1 + 0xBB67AE85) % 2**32
    return c0, c1, c2, c3


def _low_high(value: int) -> tuple[int, int]:
    return value % 2**32, (value >> 32) % 2**32


def _as_float(value: float) -> float:
    # A sum or product of floats that is rounded to double (53 bits >= 2 * 24 + 2) and then to float is the
    # one rounded to float at once.
    return float(struct.unpack("<f", struct.pack("<f", value))[0])


def _bits(value: float) -> str:
    return f"{struct.unpack('<I', struct.pack('<f', value))[0]:08x}"


def slope(seed: int, step: int, lower: float, upper: float, element: int) -> float:
    words = philox(_low_high(element // 8) + _low_high(step), _low_high(seed))
    half_words = struct.unpack("<8H", struct.pack("<4I", *words))
    u = (2 * half_words[element % 8] + 1) / 2**17
    lower, upper = _as_float(lower), _as_float(upper)
    return _as_float(lower + _as_float(u * _as_float(upper - lower)))


def derived_seed(base: int, index: int) -> int:
    words = philox((*_low_high(index), 0, 0x44454553), _low_high(base))
    return (words[0] + (words[1] << 32)) % 2**63


def fnv1a(text: str) -> int:
    value = 0xCBF29CE484222325
    for byte in text.encode():
        value = (value ^ byte) * 0x100000001B3 % 2**64
    return value


# ONNX's numbers.
_DTYPES = {"float": 1, "float16": 10, "double": 11, "bfloat16": 16}

# Both zeros, infinities, NaN, and more than one byte of bits; exact in every dtype.
_X = [-1.0, 0.5, 0.0, -0.0, math.inf, -math.inf, math.nan, 2.0, -3.5, 1.0, 0.0, -2.0, 0.25]


def reserve(
    dtype: str, training: int, lower: float, upper: float, seed: int, step: int, x: Sequence[float]
) -> bytes:
    numbers = (_DTYPES[dtype], training, lower, upper, seed, step % 2**64, len(x))
    header = b"rrel" + struct.pack("<3I2f3Q16x", 1, *numbers)
    bits = sum((value <= 0) << i for i, value in enumerate(x))
    return header + bits.to_bytes((len(x) + 7) // 8, "little")


def _reserve_rows() -> Iterator[str]:
    draws = [("float", 1, 42, -5, size) for size in (0, 1, 8, 13)]
    draws += [(dtype, training, 2**63 - 1, 2**40 + 3, 13) for dtype in _DTYPES for training in (0, 1)]
    for dtype, training, seed, step, size in draws:
        _, lower, upper = _BOUNDS[0]
        x = _X[:size]
        answer = reserve(dtype, training, lower, upper, seed, step, x).hex()
        start = f"reserve {dtype} {training} {_bits(lower)} {_bits(upper)} {seed} {step}"
        yield " ".join([start, *map(_bits, x), "->", answer])


_ROW_STEPS = [5, -1, 2**40 + 3, -1]


def row_slope(seed: int, steps: Sequence[int], size: int, bounds: tuple[float, float], element: int) -> float:
    row, place = divmod(element, size // len(steps))
    return slope(seed, steps[row], *bounds, place)


def _row_slope_rows() -> Iterator[str]:
    _, lower, upper = _BOUNDS[0]
    # Of 1, 10 and 16 elements, and one in which block numbers leave 32 bits.
    places = {1: [0], 10: [0, 7, 8, 9], 16: [0, 8, 15], 2**35 + 5: [2**35 - 1, 2**35, 2**35 + 4]}
    for size, elements in places.items():
        for row, place in itertools.product(range(len(_ROW_STEPS)), elements):
            element = row * size + place
            whole = size * len(_ROW_STEPS)
            value = row_slope(42, _ROW_STEPS, whole, (lower, upper), element)
            start = f"row_slope 42 {len(_ROW_STEPS)} {' '.join(map(str, _ROW_STEPS))} {whole}"
            yield f"{start} {_bits(lower)} {_bits(upper)} {element} -> {_bits(value)}"


def row_reserve(
    dtype: str,
    training: int,
    lower: float,
    upper: float,
    seed: int,
    steps: Sequence[int],
    x: Sequence[float],
) -> bytes:
    numbers = (_DTYPES[dtype], training, lower, upper, seed, 0, len(x), len(steps))
    header = b"rrel" + struct.pack("<3I2f4Q8x", 2, *numbers)
    bits = sum((value <= 0) << i for i, value in enumerate(x))
    return header + struct.pack(f"<{len(steps)}q", *steps) + bits.to_bytes((len(x) + 7) // 8, "little")


def _row_reserve_rows() -> Iterator[str]:
    _, lower, upper = _BOUNDS[0]
    for dtype, training, rows, size in [
        *((dtype, 1, 4, 12) for dtype in _DTYPES),
        *(("float", 0, 4, 12), ("float", 1, 3, 0), ("float", 1, 2, 2)),
    ]:
        x, steps = _X[:size], _ROW_STEPS[:rows]
        answer = row_reserve(dtype, training, lower, upper, 42, steps, x).hex()
        start = f"row_reserve {dtype} {training} {_bits(lower)} {_bits(upper)} 42 {rows}"
        yield " ".join([start, *map(str, steps), *map(_bits, x), "->", answer])


def _words(words: tuple[int, ...]) -> str:
    return " ".join(f"{word:08x}" for word in words)


def _slope_row(seed: int, step: int, bounds: tuple[str, float, float], element: int) -> str:
    _, lower, upper = bounds
    value = slope(seed, step, lower, upper, element)
    return f"slope {seed} {step} {_bits(lower)} {_bits(upper)} {element} -> {_bits(value)}"


def _slope_rows() -> Iterator[str]:
    default = _BOUNDS[0]
    yield "# elements"
    for element in _ELEMENTS:
        yield _slope_row(42, 1, default, element)
    yield "# seeds and steps"
    for seed, step in itertools.product(_SEEDS, _STEPS):
        yield _slope_row(seed, step, default, 3)
    for bounds in _BOUNDS:
        yield f"# bounds: {bounds[0]}"
        for element in (0, 1, 2, 2**33 + 7):
            yield _slope_row(7, 11, bounds, element)


def table() -> str:
    """What known_answers.txt must hold."""
    lines = [
        f"philox4x32-10 {_words(c)} {_words(k)} -> {answer}" for (c, k), answer in _PUBLISHED_PHILOX.items()
    ]
    lines += _slope_rows()
    for base, index in itertools.product(_SEEDS, [0, 1, 2**32, 2**64 - 1]):
        lines.append(f"derived_seed {base} {index} -> {derived_seed(base, index)}")
    lines += [f"fnv1a {text} -> {answer}" for text, answer in _PUBLISHED_FNV1A.items()]
    lines += [f"fnv1a {text} -> {fnv1a(text):016x}" for text in ("y", "/block/act/RRelu_output_0", "größe")]
    lines += _reserve_rows()
    lines += ["# a step for each row", *_row_slope_rows(), *_row_reserve_rows()]
    return _HEADER + "\n".join(lines) + "\n"


def rows(kind: str) -> list[tuple[list[str], list[str]]]:
    """The rows of one kind, each as its arguments and its answer."""
    found = []
    for line in TABLE.read_text("utf-8").splitlines():
        name, *words = line.split()
        if name == kind:
            arrow = words.index("->")
            found.append((words[:arrow], words[arrow + 1 :]))
    return found


if __name__ == "__main__":
    TABLE.write_text(table(), "utf-8")
