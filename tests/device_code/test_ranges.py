"""Device code on parts of a tensor, some where numbers leave 32 bits, and on the table of known answers."""

from __future__ import annotations

import numpy as np
import pytest

from tests import known_answers
from tests.device_code.cases import both_modes, every_architecture, every_dtype, ptx_of
from tests.device_code.checking import Case, check_range, forward
from tests.draws import Draw, normal
from tests.onnx_models import DTYPES

# As the table of known answers calls them.
_TYPES = {str(dtype): dtype for dtype in DTYPES.values()} | {
    "float": np.dtype(np.float32),
    "double": np.dtype(np.float64),
}


@every_architecture
@every_dtype
@both_modes
def test_ranges(architecture: int, dtype: int, training: bool) -> None:
    """With arrays that hold nothing else."""
    x = normal((5003,), dtype)
    for begin, end in [(0, 2048), (2048, 4096), (8, 4104), (4096, 5003), (5000, 5003), (16, 3336)]:
        check_range(ptx_of(architecture), x[begin:end], Draw(training=training), begin, 5003)


@every_architecture
@every_dtype
@both_modes
@pytest.mark.parametrize(
    "begin", [2**31, 2**32, 2**35, 2**38, 2**60], ids=lambda begin: f"2^{begin.bit_length() - 1}"
)
def test_more_elements_than_32_bits_count(architecture: int, dtype: int, training: bool, begin: int) -> None:
    """Of elements, and from 2^35 on of blocks."""
    x = normal((3075,), dtype)
    check_range(ptx_of(architecture), x, Draw(training=training), begin - 1024, begin + 2051)


@every_architecture
@every_dtype
@pytest.mark.parametrize("row", [2**32 - 8, 2**32 + 3, 2**35 + 5], ids=["blocks", "any size", "many blocks"])
def test_rows_beyond_32_bits(architecture: int, dtype: int, row: int) -> None:
    """Around the beginning of the third of four rows."""
    begin = (2 * row - 1024) // 8 * 8
    draw = Draw(step=np.array([5, -1, 2**40 + 3, 7]))
    check_range(ptx_of(architecture), normal((2048,), dtype), draw, begin, 4 * row)


def _float(bits: str) -> float:
    return float(np.uint32(int(bits, 16)).view(np.float32))


def _slope(architecture: int, draw: Draw, element: int, size: int) -> str:
    """The float bits of an element's slope."""
    begin = element // 8 * 8
    x = -np.ones(element + 1 - begin, np.float32)
    noise = forward(ptx_of(architecture), x, draw, Case(begin=begin, size=size, reserve=False)).noise
    return f"{noise[-1:].view(np.uint32)[0]:08x}"


@every_architecture
def test_known_slopes(architecture: int) -> None:
    rows = known_answers.rows("slope")
    assert len(rows) > 50
    for (seed, step, lower, upper, element), (answer,) in rows:
        draw = Draw(_float(lower), _float(upper), seed=int(seed), step=int(step))
        assert _slope(architecture, draw, int(element), int(element) + 1) == answer


@every_architecture
def test_known_slopes_of_rows(architecture: int) -> None:
    rows = known_answers.rows("row_slope")
    assert len(rows) > 30
    for (seed, count, *steps, size, lower, upper, element), (answer,) in rows:
        assert len(steps) == int(count)
        draw = Draw(_float(lower), _float(upper), seed=int(seed), step=np.array([int(s) for s in steps]))
        assert _slope(architecture, draw, int(element), int(size)) == answer


@every_architecture
def test_known_reserves(architecture: int) -> None:
    rows = known_answers.rows("reserve")
    assert len(rows) > 10
    for (dtype, training, lower, upper, seed, step, *elements), (answer,) in rows:
        x = np.array([_float(bits) for bits in elements]).astype(_TYPES[dtype])
        draw = Draw(_float(lower), _float(upper), bool(int(training)), int(seed), int(step))
        assert forward(ptx_of(architecture), x, draw).reserve.tobytes().hex() == answer


@every_architecture
def test_known_reserves_of_rows(architecture: int) -> None:
    rows = known_answers.rows("row_reserve")
    assert len(rows) > 5
    for (dtype, training, lower, upper, seed, count, *numbers), (answer,) in rows:
        steps, elements = numbers[: int(count)], numbers[int(count) :]
        x = np.array([_float(bits) for bits in elements]).astype(_TYPES[dtype]).reshape(int(count), -1)
        draw = Draw(
            _float(lower), _float(upper), bool(int(training)), int(seed), np.array([int(s) for s in steps])
        )
        assert forward(ptx_of(architecture), x, draw).reserve.tobytes().hex() == answer
