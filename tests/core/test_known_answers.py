"""Philox, slopes, derived seeds, hashes and reserves against the table that C++ reads too."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto

import ort_rrelu
from ort_rrelu import library, reference
from tests import known_answers
from tests.bits import assert_same_bits
from tests.onnx_models import DTYPES, FLOAT, Array, rrelu_model, run, session, step_of

# The reference computes all elements from 0 on; the kernels start anywhere.
_REACHABLE = 2**17


def _ids(row: tuple[list[str], list[str]]) -> str:
    return "-".join(row[0])


def _slope_rows(below: int = 2**64) -> list[tuple[list[str], list[str]]]:
    return [row for row in known_answers.rows("slope") if int(row[0][4]) < below]


def _float(bits: str) -> float:
    return float(np.uint32(int(bits, 16)).view(np.float32))


def test_table_is_what_python_integers_say() -> None:
    assert known_answers.TABLE.read_text("utf-8") == known_answers.table()


@pytest.mark.parametrize(
    ("kind", "least"),
    [
        ("philox4x32-10", 3),
        ("slope", 80),
        ("derived_seed", 12),
        ("fnv1a", 6),
        ("reserve", 12),
        ("row_slope", 40),
        ("row_reserve", 7),
    ],
)
def test_table_is_read_in_full(kind: str, least: int) -> None:
    assert len(known_answers.rows(kind)) >= least


@pytest.mark.parametrize("row", known_answers.rows("philox4x32-10"), ids=_ids)
def test_philox(row: tuple[list[str], list[str]]) -> None:
    words = [int(word, 16) for word in row[0]]
    key = words[4] | words[5] << 32
    assert [f"{word:08x}" for word in reference.philox(words[:4], key)] == row[1]


@pytest.mark.parametrize("row", known_answers.rows("fnv1a"), ids=_ids)
def test_fnv1a(row: tuple[list[str], list[str]]) -> None:
    arguments, (expected,) = row
    assert reference.fnv1a(*arguments or [""]) == int(expected, 16)


@pytest.mark.parametrize("row", known_answers.rows("derived_seed"), ids=_ids)
def test_derived_seed(row: tuple[list[str], list[str]]) -> None:
    base, index = map(int, row[0])
    assert reference.derive_seed(base, index) == int(row[1][0])


@pytest.mark.parametrize("row", _slope_rows(_REACHABLE), ids=_ids)
def test_slope_of_the_reference(row: tuple[list[str], list[str]]) -> None:
    seed, step, lower, upper, element = row[0]
    slopes = reference.slopes(int(element) + 1, _float(lower), _float(upper), seed=int(seed), step=int(step))
    assert f"{slopes[int(element)].view(np.uint32):08x}" == row[1][0]


@pytest.mark.parametrize("row", _slope_rows(), ids=_ids)
def test_slope_of_the_kernel(row: tuple[list[str], list[str]]) -> None:
    seed, step, lower, upper, element = row[0]
    index = int(element)
    begin = index // 8 * 8
    x = np.zeros(8, np.float32)
    y, noise = np.empty_like(x), np.empty_like(x)
    params = library.Params(FLOAT, _float(lower), _float(upper), True, int(seed), int(step))
    # Addresses of element 0, which need not exist.
    addresses = [(array.ctypes.data - begin * x.itemsize) % 2**64 for array in (x, y, noise)]
    library.forward(params, addresses[0], addresses[1], addresses[2], begin, index + 1)
    assert f"{noise[index % 8].view(np.uint32):08x}" == row[1][0]


@pytest.mark.parametrize("row", _slope_rows(_REACHABLE), ids=_ids)
def test_slope_in_onnx_runtime(row: tuple[list[str], list[str]]) -> None:
    seed, step, lower, upper, element = row[0]
    model = rrelu_model(
        FLOAT, with_step=True, training=1, seed=int(seed), lower=_float(lower), upper=_float(upper)
    )
    _, noise = run(session(model), np.zeros(int(element) + 1, np.float32), step_of(int(step)))
    assert f"{noise[-1].view(np.uint32):08x}" == row[1][0]


_RESERVES = known_answers.rows("reserve")
_ELEMENT_TYPES = {TensorProto.DataType.Name(number).lower(): dtype for number, dtype in DTYPES.items()}


def _draw(row: tuple[list[str], list[str]]) -> tuple[Array, dict[str, Any]]:
    dtype, training, lower, upper, seed, step, *x = row[0]
    array = np.array([_float(bits) for bits in x], _ELEMENT_TYPES[dtype])
    bounds = {"lower": _float(lower), "upper": _float(upper)}
    return array, bounds | {"training": int(training), "seed": int(seed), "step": int(step)}


@pytest.mark.parametrize("rrelu", [ort_rrelu.rrelu, reference.rrelu], ids=["kernel", "reference"])
@pytest.mark.parametrize("row", _RESERVES, ids=_ids)
def test_reserve(rrelu: Callable[..., Any], row: tuple[list[str], list[str]]) -> None:
    x, draw = _draw(row)
    assert rrelu(x, return_reserve=True, **draw)[1].tobytes().hex() == row[1][0]


@pytest.mark.parametrize(
    "rrelu_grad", [ort_rrelu.rrelu_grad, reference.rrelu_grad], ids=["kernel", "reference"]
)
@pytest.mark.parametrize("row", _RESERVES, ids=_ids)
def test_reserve_is_read(rrelu_grad: Callable[..., Any], row: tuple[list[str], list[str]]) -> None:
    """The gradient for ones is the noise, in eval mode too: 1 * slope rounds as the slope does."""
    x, draw = _draw(row)
    _, noise = reference.rrelu(x, return_noise=True, **draw)
    reserve = np.frombuffer(bytes.fromhex(row[1][0]), np.uint8)
    assert_same_bits(rrelu_grad(np.ones_like(x), reserve), noise)


def _steps(words: list[str]) -> tuple[Array, list[str]]:
    """Those that begin with their number, and the words after them."""
    count = int(words[0])
    return np.array(words[1 : count + 1]).astype(np.int64), words[count + 1 :]


@pytest.mark.parametrize("row", known_answers.rows("row_slope"), ids=_ids)
def test_slope_of_a_row(row: tuple[list[str], list[str]]) -> None:
    steps, (size, lower, upper, element) = _steps(row[0][1:])
    params = library.Params(FLOAT, _float(lower), _float(upper), True, int(row[0][0]))
    params = params._replace(steps=steps.ctypes.data, rows=steps.size)
    index, whole = int(element), int(size)
    begin = index // 8 * 8
    x = np.zeros(min(8, whole - begin), np.float32)
    y, noise = np.empty_like(x), np.empty_like(x)
    from_, to, saved = ((array.ctypes.data - begin * x.itemsize) % 2**64 for array in (x, y, noise))
    library.forward(params, from_, to, saved, begin, begin + x.size, size=whole)
    assert f"{noise[index % 8].view(np.uint32):08x}" == row[1][0]
    if whole < _REACHABLE:
        slopes = reference.slopes(whole, params.lower, params.upper, seed=params.seed, steps=steps)
        assert f"{slopes[index].view(np.uint32):08x}" == row[1][0]


@pytest.mark.parametrize("rrelu", [ort_rrelu.rrelu, reference.rrelu], ids=["kernel", "reference"])
@pytest.mark.parametrize("row", known_answers.rows("row_reserve"), ids=_ids)
def test_reserve_of_rows(rrelu: Callable[..., Any], row: tuple[list[str], list[str]]) -> None:
    dtype, training, lower, upper, seed, *rest = row[0]
    steps, x = _steps(rest)
    array = np.array([_float(bits) for bits in x], _ELEMENT_TYPES[dtype]).reshape(len(steps), -1)
    bounds = {"lower": _float(lower), "upper": _float(upper), "seed": int(seed)}
    _, reserve = rrelu(array, training=int(training), step=steps, return_reserve=True, **bounds)
    assert reserve.tobytes().hex() == row[1][0]
