"""Subnormals count, in whatever mode the calling thread is, and that mode stays as it was."""

from __future__ import annotations

import ctypes
import platform
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from onnx import helper

import ort_rrelu
from ort_rrelu import reference
from tests.bits import assert_same_bits
from tests.draws import Draw, Outputs, assert_same_outputs, by_numpy, by_reference, special_values
from tests.onnx_models import DTYPES, FLOAT, grad_model, make_model, rrelu_model, run, session

_ROOT = Path(__file__).resolve().parents[2]

# Of glibc's fenv_t: which 32-bit word has the control register, and its bits that flush (FTZ and DAZ; FZ).
_WORD, _FLUSH = {"x86_64": (7, 0x8040), "aarch64": (0, 1 << 24)}[platform.machine()]

every_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=[str(d) for d in DTYPES.values()])
both_modes = pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])


def _flushes() -> bool:
    """Does this thread take a subnormal for zero?"""
    tiny = np.array([1e-40], np.float32)
    return not (tiny * np.float32(0.5)).any()


@contextmanager
def _flush_mode() -> Iterator[None]:
    """What torch.set_flush_denormal and ONNX Runtime's session.set_denormal_as_zero leave in a thread."""
    libm = ctypes.CDLL("libm.so.6")
    saved, flushing = (ctypes.c_uint32 * 16)(), (ctypes.c_uint32 * 16)()
    libm.fegetenv(saved)
    libm.fegetenv(flushing)
    flushing[_WORD] |= _FLUSH
    libm.fesetenv(flushing)
    try:
        assert _flushes()
        yield
        # The kernels put the mode back.
        assert _flushes()
    finally:
        libm.fesetenv(saved)


@every_dtype
@both_modes
def test_kernels(dtype: int, training: bool) -> None:
    x, draw = special_values(dtype), Draw(training=training)
    with _flush_mode():
        actual = by_numpy(x, draw)
    assert_same_outputs(actual, by_reference(x, draw))


@every_dtype
@both_modes
def test_onnx_runtime(dtype: int, training: bool) -> None:
    x, draw = special_values(dtype), Draw(training=training, step=0)
    # Made before: ONNX Runtime sets the thread's mode when it makes a session.
    node = session(rrelu_model(dtype, outputs=Outputs._fields, training=int(training), seed=draw.seed))
    with _flush_mode():
        actual = run(node, x)
    assert_same_outputs(actual, by_reference(x, draw))


def test_bounds_that_are_subnormal() -> None:
    x, draw = np.full(100, -1e30, np.float32), Draw(1e-40, 3e-40, step=0)
    model = rrelu_model(
        outputs=Outputs._fields, training=1, seed=draw.seed, lower=draw.lower, upper=draw.upper
    )
    node = session(model)
    with _flush_mode():
        actual = run(node, x)
    assert len(np.unique(actual[1])) > 10
    assert_same_outputs(actual, by_reference(x, draw))


@every_dtype
@pytest.mark.parametrize("kind", ["noise", "reserve"])
def test_gradients(dtype: int, kind: str) -> None:
    values = special_values(dtype).ravel()
    dy, noise = (np.ascontiguousarray(a) for a in np.meshgrid(values, values))
    saved = noise if kind == "noise" else by_reference(dy, Draw()).reserve
    node = session(grad_model(dtype, saved=kind))
    with _flush_mode():
        direct, in_session = ort_rrelu.rrelu_grad(dy, saved), run(node, dy, saved)[0]
    expected = reference.rrelu_grad(dy, saved)
    assert_same_bits(direct, expected)
    assert_same_bits(in_session, expected)


def print_counts(threads: int) -> None:
    """How many of 2^20 subnormals Add and RRelu take for what they are, with ONNX Runtime's own switch."""
    config = {"session.set_denormal_as_zero": "1"}
    x = np.full(2**20, 1e-40, np.float32)
    info = [helper.make_tensor_value_info(name, FLOAT, None) for name in "xy"]
    double = make_model([helper.make_node("Add", ["x", "x"], ["y"])], info[:1], info[1:])
    (doubled,) = run(session(double, threads=threads, config=config), x)
    _, noise = run(session(rrelu_model(), threads=threads, config=config), x)
    print(np.count_nonzero(doubled), np.count_nonzero(noise == 1))


@pytest.mark.parametrize("threads", [1, 2])
def test_switch_of_onnx_runtime(threads: int) -> None:
    # In a process of its own: the first session's switch is the calling thread's for good.
    code = f"from tests.core.test_denormals import print_counts as f; f({threads})"
    output = subprocess.check_output([sys.executable, "-c", code], cwd=_ROOT, text=True)
    by_add, by_rrelu = map(int, output.split())
    assert by_add == 0
    assert by_rrelu == 2**20
