"""Opsets from 22 on, in which ONNX Runtime has no RandomUniform and no RandomUniformLike."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import onnxruntime
import pytest

import ort_rrelu
from ort_rrelu import reference
from tests.bits import assert_same_bits
from tests.onnx_models import Array, run

_X = np.random.default_rng(7).normal(size=(4, 6)).astype(np.float32)
_LOWER, _UPPER, _SEED, _STEP = 0.1, 0.5, 5, 2**40 + 3

pytestmark = pytest.mark.onnxruntime("1.24")  # the first of those tested that reads them
new_opsets = pytest.mark.parametrize("opset", [22, 23])
tools = pytest.mark.parametrize("tool", [ort_rrelu.graph.portable, ort_rrelu.graph.lower])


def _node(seed: int, inputs: str) -> str:
    return f"ort_rrelu.RRelu <training = 1, lower = {_LOWER}, upper = {_UPPER}, seed = {seed}> ({inputs})"


def _session(
    text: str, opset: int, tool: Callable[[onnx.ModelProto], onnx.ModelProto]
) -> onnxruntime.InferenceSession:
    header = f'<ir_version: 10, opset_import: ["": {opset}, "ort_rrelu": 1]> '
    model = tool(onnx.parser.parse_model(header + text))
    onnx.checker.check_model(model, full_check=True)
    return onnxruntime.InferenceSession(model.SerializeToString())


def _assert_drawn(slopes: Array) -> None:
    # 4,096 fresh slopes of U(0.1, 0.5) miss one of these ends once in 10^12 times.
    assert np.float32(_LOWER) <= slopes.min() < _LOWER + 3e-3
    assert _UPPER - 3e-3 < slopes.max() <= np.float32(_UPPER)
    spread = (_UPPER - _LOWER) / np.sqrt(12 * slopes.size)
    assert abs(slopes.mean(dtype=np.float64) - (_LOWER + _UPPER) / 2) < 7 * spread


@tools
@new_opsets
def test_bits_are_the_kernels(opset: int, tool: Callable[[onnx.ModelProto], onnx.ModelProto]) -> None:
    text = f"net (float[4,6] x, int64 step) => (float[4,6] y) {{ y = {_node(_SEED, 'x, step')} }}"
    (y,) = run(_session(text, opset, tool), _X, np.array(_STEP))
    assert_same_bits(y, np.asarray(reference.rrelu(_X, _LOWER, _UPPER, True, seed=_SEED, step=_STEP)))


@tools
@pytest.mark.parametrize("seeds", [(-1, -2), (_SEED, 6)], ids=str)
@pytest.mark.parametrize("step", ["", ", step"], ids=["no step", "step"])
@new_opsets
def test_draws(
    opset: int, step: str, seeds: tuple[int, int], tool: Callable[[onnx.ModelProto], onnx.ModelProto]
) -> None:
    """Fresh slopes in each run unless the node has both a seed and a step; in each node, always."""
    text = f"""net (float[n] x{step and ", int64 step"}) => (float[n] y, float[n] z) {{
        y = {_node(seeds[0], f"x{step}")} z = {_node(seeds[1], f"x{step}")} }}"""
    session = _session(text, opset, tool)
    inputs = [np.full(4096, -1, np.float32), *([np.array(_STEP)] if step else [])]
    slopes = [-y for _ in range(2) for y in run(session, *inputs)]
    assert len({each.tobytes() for each in slopes}) == (2 if step and min(seeds) >= 0 else 4)
    for each in slopes:
        _assert_drawn(each)


@new_opsets
def test_noise_of_a_lowered_node(opset: int) -> None:
    text = f"net (float[n] x) => (float[n] y, float[n] noise) {{ y, noise = {_node(-1, 'x')} }}"
    y, noise = run(_session(text, opset, ort_rrelu.graph.lower), np.full(4096, -1, np.float32))
    assert_same_bits(noise, -y)
    _assert_drawn(noise)
