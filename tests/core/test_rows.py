"""A step for each row of X: a row alone equals the row among others, in every bit and on every layer here."""

from __future__ import annotations

import ctypes
import functools
import itertools
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx.reference import ReferenceEvaluator

import ort_rrelu
from ort_rrelu import evaluator, graph, library, reference, schema
from tests.bits import assert_same_bits
from tests.draws import Draw, assert_same_outputs, by_numpy, by_onnx_runtime, by_reference
from tests.onnx_models import DTYPES, FLOAT, Array, grad_model, rrelu_model, run, session

_CASES = 60
# Around blocks, units of every instruction set, and two of them.
_ROW_SIZES = [0, 1, 2, 7, 8, 9, 10, 16, 24, 37, 64, 100, 128, 255, 256, 264, 500, 512, 513, 1024, 1100]
_KERNELS = [by_numpy, by_onnx_runtime]
_STANDARD: dict[str, Callable[[onnx.ModelProto], onnx.ModelProto]] = {
    "portable": graph.portable,
    "lowered": functools.partial(graph.lower, exact=True),
}


@functools.cache
def _standard_session(kind: str, dtype: int) -> onnxruntime.InferenceSession:
    """Of standard operators alone, in train mode."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 4
    model = _STANDARD[kind](rrelu_model(dtype, with_step=True, training=1, seed=42))
    return onnxruntime.InferenceSession(model.SerializeToString(), options, ["CPUExecutionProvider"])


def _steps(generator: np.random.Generator, rows: int) -> NDArray[np.int64]:
    """Any, or few different ones: repeated and negative, or all the same."""
    lowest, highest = [(-(2**63), 2**63 - 1), (-2, 2), (-5, -5)][generator.integers(3)]
    return generator.integers(lowest, highest, rows, np.int64, endpoint=True)


def _tensor(generator: np.random.Generator, dtype: int) -> Array:
    size = int(generator.choice(_ROW_SIZES))
    rows = int(generator.integers(0, 12 if size > 300 else 80))
    shape = (rows, size // 2, 2) if size % 2 == 0 and generator.integers(2) else (rows, size)
    return generator.normal(size=shape).astype(DTYPES[dtype])


def _in_pieces(x: Array, draw: Draw, cuts: list[int]) -> tuple[Array, Array, Array]:
    """Through the C API: x, reserve and steps at odd addresses of bytes, and one call for each piece."""
    steps = np.empty(draw.step.nbytes + 1, np.uint8)[1:]
    steps[:] = np.asarray(draw.step).view(np.uint8)
    rows = steps.size // 8
    params = library.Params(
        schema.DTYPES[x.dtype],
        draw.lower,
        draw.upper,
        draw.training,
        draw.seed,
        steps=steps.ctypes.data,
        rows=rows,
    )
    y, noise = np.empty_like(x), np.empty_like(x)
    reserve = np.empty(library.reserve_bytes(x.size, rows) + 1, np.uint8)[1:]
    addresses = x.ctypes.data, y.ctypes.data, noise.ctypes.data
    for begin, end in itertools.pairwise(cuts):
        library.forward(params, *addresses, begin, end, reserve=reserve.ctypes.data, size=x.size)
    return y, noise, reserve


def _gradient_in_pieces(dy: Array, reserve: Array, cuts: list[int]) -> Array:
    dx = np.empty_like(dy)
    params = library.Params(schema.DTYPES[dy.dtype])
    for begin, end in itertools.pairwise(cuts):
        library.backward_reserve(
            params, dy.ctypes.data, reserve.ctypes.data, reserve.size, dx.ctypes.data, dy.size, begin, end
        )
    return dx


def test_a_row_alone_is_the_row_among_others(request: pytest.FixtureRequest) -> None:
    generator = np.random.default_rng(5)
    for _ in range(request.config.getoption("--cases") or _CASES):
        x = _tensor(generator, int(generator.choice(list(DTYPES))))
        draw = Draw(training=bool(generator.integers(8)), step=_steps(generator, len(x)))
        expected = by_reference(x, draw)
        for kernel in _KERNELS:
            assert_same_outputs(kernel(x, draw), expected)
        for row in generator.permutation(len(x))[:3] if len(x) > 1 else []:
            alone = by_reference(x[row : row + 1], Draw(training=draw.training, step=int(draw.step[row])))
            assert_same_bits(expected.y[row], alone.y[0])
            assert_same_bits(expected.noise[row], alone.noise[0])
        if len(x) > 1:
            cuts = sorted({0, x.size, *(8 * generator.integers(0, x.size // 8 + 1, 3)).tolist()})
            pieces = _in_pieces(x, draw, cuts if x.size else [0, 0])
            assert_same_outputs(pieces, expected)
            dy = generator.normal(size=x.shape).astype(x.dtype)
            gradient = reference.rrelu_grad(dy, expected.reserve)
            assert_same_bits(_gradient_in_pieces(dy, pieces[2], cuts), gradient)
            if draw.training:
                assert_same_bits(reference.rrelu_grad(dy, expected.noise), gradient)


@pytest.mark.parametrize("kind", _STANDARD)
@pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: DTYPES[dtype].name)
def test_standard_operators(dtype: int, kind: str) -> None:
    generator = np.random.default_rng(10)
    for shape in [(0, 5), (1, 37), (3, 0), (5,), (4, 10), (16, 8, 8), (7, 513), (2, 8, 8, 3), (70, 1)]:
        x = generator.normal(size=shape).astype(DTYPES[dtype])
        draw = Draw(step=_steps(generator, len(x)))
        expected = by_reference(x, draw)
        for actual, output in zip(run(_standard_session(kind, dtype), x, draw.step), expected, strict=False):
            assert_same_bits(actual, output)


@pytest.mark.parametrize("kind", _STANDARD)
@pytest.mark.parametrize(
    ("shape", "step"),
    [((4, 10), (2,)), ((4, 10), (8,)), ((4, 10), (0,)), ((1, 10), (5,)), ((0, 5), (2,)), ((), (2,))],
    ids=str,
)
def test_standard_operators_refuse_other_numbers_of_steps(
    kind: str, shape: tuple[int, ...], step: tuple[int, ...]
) -> None:
    with pytest.raises(Exception, match="Reshape"):
        run(_standard_session(kind, FLOAT), np.ones(shape, np.float32), np.zeros(step, np.int64))


@pytest.mark.parametrize("shape", [(3, 100_003), (2, 2**17), (30_000, 10), (70_000, 4)], ids=str)
def test_on_threads(shape: tuple[int, int]) -> None:
    """Chunks begin anywhere in a row."""
    generator = np.random.default_rng(6)
    x = generator.normal(size=shape).astype(np.float32)
    draw = Draw(step=_steps(generator, len(x)))
    expected = by_reference(x, draw)
    assert_same_outputs(by_numpy(x, draw), expected)
    assert_same_outputs(by_onnx_runtime(x, draw, threads=3), expected)


@pytest.mark.parametrize("saved", ["noise", "reserve"])
@pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: DTYPES[dtype].name)
def test_gradient_in_onnx_runtime(dtype: int, saved: str) -> None:
    generator = np.random.default_rng(7)
    x, dy = (generator.normal(size=(6, 37)).astype(DTYPES[dtype]) for _ in range(2))
    outputs = by_reference(x, Draw(step=_steps(generator, 6)))
    (dx,) = run(session(grad_model(dtype, saved=saved)), dy, getattr(outputs, saved))
    assert_same_bits(dx, reference.rrelu_grad(dy, outputs.noise))


def _slope(element: int, step: int) -> np.float32:
    block = element // 8
    words = reference.philox([block & 0xFFFFFFFF, block >> 32, step & 0xFFFFFFFF, step >> 32], 42)
    half_word = int(words[element % 8 // 2]) >> 16 * (element % 2) & 0xFFFF
    u = np.float32(2 * half_word + 1) * np.float32(2.0**-17)
    lower, upper = np.float32(schema.LOWER), np.float32(schema.UPPER)
    return np.float32(lower + u * (upper - lower))


@pytest.mark.parametrize("extra", [0, 8, 5, 1001])
@pytest.mark.parametrize("size", [8, 264, 4096])
def test_blocks_beyond_32_bits(extra: int, size: int) -> None:
    """At the end of the first row, where the high word of a block changes, and at the end of the last."""
    row, steps = 2**35 + extra, np.array([5, 2**40], np.int64)
    params = library.Params(FLOAT, training=True, seed=42, steps=steps.ctypes.data, rows=2)
    last = 2 * row // 8 * 8
    for begin, end in ((row - size, row + size), (2**35 - size, 2**35 + size), (last - size, 2 * row)):
        begin, end = begin // 8 * 8, end if end == 2 * row else end // 8 * 8
        x, noise = np.full(end - begin, -1, np.float32), np.empty(end - begin, np.float32)
        # Addresses of element 0, which need not exist.
        to, saved = ((array.ctypes.data - 4 * begin) % 2**64 for array in (x, noise))
        library.forward(params, to, to, saved, begin, end, size=2 * row)
        expected = [_slope(i % row, int(steps[i // row])) for i in range(begin, end)]
        assert_same_bits(noise, np.array(expected))


@pytest.mark.parametrize("rows", [0, 1])
@pytest.mark.parametrize("draw", [by_reference, *_KERNELS])
def test_no_row_and_one_row_are_one_tensor(draw: Callable[..., Any], rows: int) -> None:
    """The reserve is of version 1, byte for byte."""
    x = np.random.default_rng(8).normal(size=(rows, 21)).astype(np.float32)
    expected = by_reference(x, Draw(step=-9 if rows else 0))
    assert_same_outputs(draw(x, Draw(step=np.full(rows, -9, np.int64))), expected)


@pytest.mark.parametrize("training", [False, True])
def test_reserve_of_rows(training: bool) -> None:
    """As ops/README.md has it."""
    x, steps = np.array([[-1.0, 2, 0], [3, -4, 5]], np.float32), np.array([-2, 7], np.int64)
    reserve = by_numpy(x, Draw(training=training, seed=11, step=steps)).reserve
    assert reserve.tobytes() == (
        b"rrel\2\0\0\0\1\0\0\0"
        + int(training).to_bytes(4, "little")
        + np.array([schema.LOWER, schema.UPPER], "<f4").tobytes()
        + np.array([11, 0, 6, 2, 0], "<u8").tobytes()
        + steps.astype("<i8").tobytes()
        + bytes([0b010101])
    )


_REFUSED: dict[str, tuple[tuple[int, ...], tuple[int, ...], str]] = {
    "a column": ((4, 10), (4, 1), ", or shape [4], one for each row"),
    "a row": ((4, 10), (1, 4), ", or shape [4], one for each row"),
    "a divisor": ((4, 10), (2,), ", or shape [4], one for each row"),
    "a multiple": ((4, 10), (8,), ", or shape [4], one for each row"),
    "another size": ((4, 10), (10,), ", or shape [4], one for each row"),
    "none": ((4, 10), (0,), ", or shape [4], one for each row"),
    "of no rows": ((0, 10), (3,), ", or shape [0], one for each row"),
    "of one row": ((1, 10), (10,), ", or shape [1], one for each row"),
    "of a scalar": ((), (2,), ""),
    "none of a scalar": ((), (0,), ""),
}
refused = pytest.mark.parametrize(("shape", "step", "allowed"), _REFUSED.values(), ids=_REFUSED)


@refused
@pytest.mark.parametrize("training", [0, 1])
def test_other_steps_are_refused(
    training: int, shape: tuple[int, ...], step: tuple[int, ...], allowed: str
) -> None:
    model = rrelu_model(with_step=True, training=training, seed=1, name="relu_1")
    arrays = np.ones(shape, np.float32), np.zeros(step, np.int64)
    beginning = f"step has shape {list(step)}: for X of shape {list(shape)} it must have one element{allowed}"
    message = f'ort_rrelu:RRelu node "relu_1": input {beginning}'
    with pytest.raises(Exception, match=re.escape(message) + "$"):
        run(session(model), *arrays)
    in_numpy = "^" + re.escape(beginning.replace("X", "x")) + "$"
    for function in (ort_rrelu.rrelu, reference.rrelu):
        with pytest.raises(ort_rrelu.errors.InvalidValueError, match=in_numpy):
            function(arrays[0], training=bool(training), step=arrays[1])
    with pytest.raises(ort_rrelu.errors.InvalidValueError, match=in_numpy):
        ReferenceEvaluator(model, new_ops=evaluator.OPS).run(None, {"x": arrays[0], "step": arrays[1]})


@pytest.mark.parametrize(
    "step", [np.zeros(2), np.zeros(2, np.uint64), np.zeros(2, bool), 1.5, "1", None], ids=repr
)
def test_steps_are_integers(step: Any) -> None:
    with pytest.raises(ort_rrelu.errors.InvalidTypeError, match=r"^step"):
        ort_rrelu.rrelu(np.ones((2, 3), np.float32), step=step)


def test_steps_of_smaller_types() -> None:
    x = np.full((3, 5), -1, np.float32)
    expected = ort_rrelu.rrelu(x, training=True, seed=1, step=np.array([1, -2, 3]))
    assert_same_bits(ort_rrelu.rrelu(x, training=True, seed=1, step=np.array([1, -2, 3], np.int8)), expected)
    assert_same_bits(ort_rrelu.rrelu(x, training=True, seed=1, step=[1, -2, 3]), expected)


def _with(reserve: Array, **fields: int) -> Array:
    changed = reserve.copy()
    header = changed[:64].view(schema.RESERVE_HEADER)
    for name, value in fields.items():
        header[name] = value
    return changed


_RESERVE = by_reference(np.full((3, 4), -1, np.float32), Draw(step=np.array([1, 2, 3]))).reserve
_OF_ONE_STEP = by_reference(np.full((3, 4), -1, np.float32), Draw()).reserve
_LENGTH = "bytes: it must have 66 for 12 elements, and 8 more for each row that has a step of its own"
_ZEROS = "reserve has bytes other than 0 at the end of its header: they must be 0"
_DAMAGED: dict[str, tuple[Array, str]] = {
    "a step less": (
        _RESERVE[:-8],
        "reserve has another length than the 3 steps of rows of its header ask for",
    ),
    "a byte less": (_RESERVE[:-1], f"reserve has 89 {_LENGTH}"),
    "one row": (np.append(_OF_ONE_STEP, np.zeros(8, np.uint8)), f"reserve has 74 {_LENGTH}"),
    "rows that do not divide": (
        np.append(_OF_ONE_STEP, np.zeros(40, np.uint8)),
        f"reserve has 106 {_LENGTH}",
    ),
    "version 1": (_with(_RESERVE, version=1), _ZEROS),
    "version 1 without rows": (
        _with(_RESERVE, version=1, rows=0),
        "reserve has another length than the 0 steps of rows of its header ask for",
    ),
    "version 3": (_with(_RESERVE, version=3), "reserve has version 3: this library reads versions 1 and 2"),
    "a step": (_with(_RESERVE, step=5), "reserve has step 5 beside steps of rows: it must be 0"),
    "zero": (_with(_RESERVE, zero=1), _ZEROS),
    "other rows": (
        _with(_RESERVE, rows=4),
        "reserve has another length than the 4 steps of rows of its header ask for",
    ),
    "version 2 of one step": (
        _with(_OF_ONE_STEP, version=2, step=0),
        "reserve is of 0 rows: they must be 2 or more, and divide the 12 elements",
    ),
    "bits": (
        np.append(_RESERVE[:-1], np.uint8(0x1F)),
        "reserve has bits other than 0 after its last element",
    ),
}


@pytest.mark.parametrize(("reserve", "message"), _DAMAGED.values(), ids=_DAMAGED)
def test_damaged_reserves_are_refused(reserve: Array, message: str) -> None:
    dy = np.ones((3, 4), np.float32)
    for function in (ort_rrelu.rrelu_grad, reference.rrelu_grad):
        with pytest.raises(ort_rrelu.errors.InvalidValueError, match="^" + re.escape(message)):
            function(dy, reserve)
    with pytest.raises(Exception, match=re.escape(message)):
        run(session(grad_model(saved="reserve")), dy, reserve)


def test_evaluator() -> None:
    generator = np.random.default_rng(9)
    x, steps = generator.normal(size=(5, 12)).astype(np.float32), _steps(generator, 5)
    model = rrelu_model(outputs=("y", "noise", "reserve"), with_step=True, training=1, seed=42)
    outputs: Any = ReferenceEvaluator(model, new_ops=evaluator.OPS).run(None, {"x": x, "step": steps})
    assert_same_outputs(outputs, by_reference(x, Draw(step=steps)))


class _OldParams(ctypes.Structure):
    """The parameters of the C API before there were rows."""

    _fields_ = (
        *(("struct_size", ctypes.c_uint32), ("dtype", ctypes.c_int32), ("lower", ctypes.c_float)),
        *(("upper", ctypes.c_float), ("training", ctypes.c_int32), ("num_threads", ctypes.c_int32)),
        *(("seed", ctypes.c_uint64), ("step", ctypes.c_uint64)),
    )


@pytest.mark.parametrize("size", [40, 48])
def test_struct_without_rows(size: int) -> None:
    """An old program calls a new library; other sizes are refused."""
    x, y = np.full(20, -1, np.float32), np.empty(20, np.float32)
    call = ctypes.CDLL(ort_rrelu.get_library_path()).ort_rrelu_forward
    number, address = ctypes.c_uint64, ctypes.c_void_p
    message = ctypes.create_string_buffer(200)
    params = _OldParams(size, FLOAT, schema.LOWER, schema.UPPER, 1, 1, 42, 3)
    code = call(
        ctypes.byref(params),
        *(address(x.ctypes.data), address(y.ctypes.data), None, None),
        *(number(20), number(0), number(20), message, ctypes.c_size_t(200)),
    )
    assert ctypes.sizeof(params) == 40
    if size == 40:
        assert code == 0, message.value
        assert_same_bits(y, by_reference(x, Draw()).y)
    else:
        assert (code, message.value) == (
            1,
            b"params.struct_size=48: this library expects 56, or 40 without rows",
        )


@pytest.mark.parametrize("rows", [3, 2**61, 2**64 - 1])
def test_rows_divide_the_size(rows: int) -> None:
    x, steps = np.ones(20, np.float32), np.zeros(3, np.int64)
    params = library.Params(FLOAT, training=True, steps=steps.ctypes.data, rows=rows)
    message = f"params.rows={rows}: rows must divide the 20 elements, and be at most 2^60"
    with pytest.raises(ValueError, match=re.escape(message)):
        library.forward(params, x.ctypes.data, x.ctypes.data, None, 0, 20)


def test_steps_of_rows_are_there_and_apart() -> None:
    x = np.ones(20, np.float32)
    for steps, message in ((None, "params.steps is null"), (x.ctypes.data + 8, "y overlaps params.steps")):
        params = library.Params(FLOAT, training=True, steps=steps, rows=2)
        with pytest.raises(ValueError, match=re.escape(message)):
            library.forward(params, x.ctypes.data, x.ctypes.data, None, 0, 20)


@pytest.mark.parametrize(
    ("shape", "step", "length"),
    [
        ([4, 10], [4], 64 + 32 + 5),
        ([4, 10], [1], 69),
        ([1, 10], [1], 66),
        ([0, 10], [0], 64),
        ([4, 10], None, None),
        ([4, 10], ["n"], None),
        (["n", 10], [4], None),
        ([4, 10], [], 69),
    ],
    ids=str,
)
def test_shape_inference_of_the_reserve(
    shape: list[int | str], step: list[int | str] | None, length: int | None
) -> None:
    model = rrelu_model(outputs=("y", "", "reserve"), shape=shape, with_step=True, step_shape=step)
    inferred = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True)
    (dimension,) = next(
        value for value in inferred.graph.output if value.name == "reserve"
    ).type.tensor_type.shape.dim
    assert (dimension.dim_value if dimension.HasField("dim_value") else None) == length
