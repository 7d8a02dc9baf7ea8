"""RRelu and RReluGrad in standard operators: the bits of the reference, without the library."""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from onnx.reference import ReferenceEvaluator

import ort_rrelu
from ort_rrelu import reference, schema
from tests.bits import assert_same_bits
from tests.draws import Draw, by_numpy, by_reference, normal, special_values
from tests.onnx_models import BFLOAT16, DTYPES, FLOAT, Array, Shape, grad_model, rrelu_model, run, step_of
from tests.strategies import arrays, draws

_LEVELS = onnxruntime.GraphOptimizationLevel.__members__
_OPTIMIZED = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL

every_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=[str(d) for d in DTYPES.values()])
both_modes = pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])


def _stock_session(
    model: onnx.ModelProto, level: onnxruntime.GraphOptimizationLevel = _OPTIMIZED
) -> onnxruntime.InferenceSession:
    """A session of an ONNX Runtime that knows nothing of the library."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = level
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(model.SerializeToString(), options, ["CPUExecutionProvider"])


class _Evaluator:
    """ReferenceEvaluator, without our ops, with the part of a session's interface that `run` takes."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self._evaluator = ReferenceEvaluator(model)
        self.get_inputs = lambda: model.graph.input

    def run(self, names: list[str] | None, feeds: dict[str, Array]) -> list[Array]:
        with np.errstate(all="ignore"):
            return list(self._evaluator.run(names, feeds))


def _model(dtype: int, draw: Draw, *, shape: Shape = None, with_step: bool = True) -> onnx.ModelProto:
    attributes: dict[str, Any] = {"lower": draw.lower, "upper": draw.upper, "seed": draw.seed}
    return ort_rrelu.graph.portable(
        rrelu_model(dtype, shape=shape, with_step=with_step, training=int(draw.training), **attributes)
    )


# Keyed by the model: draws are equal where one has 0.0 and the other -0.0 for a bound.
@functools.lru_cache(maxsize=64)
def _cached_session(model: bytes, level: str) -> onnxruntime.InferenceSession:
    return _stock_session(onnx.load_model_from_string(model), _LEVELS[level])


def _by_function(x: Array, draw: Draw, level: str = "ORT_ENABLE_ALL") -> list[Array]:
    model = _model(schema.DTYPES[x.dtype], draw)
    return run(_cached_session(model.SerializeToString(), level), x, step_of(draw.step))


def _assert_all_agree(x: Array, draw: Draw, level: str = "ORT_ENABLE_ALL") -> None:
    expected = by_reference(x, draw)
    for actual in (_by_function(x, draw, level), by_numpy(x, draw)[:2]):
        for a, e in zip(actual, expected[:2], strict=True):
            assert_same_bits(a, e)


@given(arrays(), draws())
def test_function_equals_kernel_and_reference(x: Array, draw: Draw) -> None:
    _assert_all_agree(x, draw)


@settings(max_examples=20)
@given(arrays(), draws())
def test_function_in_the_reference_evaluator(x: Array, draw: Draw) -> None:
    evaluator = _Evaluator(_model(schema.DTYPES[x.dtype], draw))
    for a, e in zip(run(evaluator, x, step_of(draw.step)), by_reference(x, draw)[:2], strict=True):
        assert_same_bits(a, e)


@every_dtype
@both_modes
@pytest.mark.parametrize("level", _LEVELS)
def test_optimization_changes_no_bit(dtype: int, training: bool, level: str) -> None:
    for lower, upper in [(1 / 8, 1 / 3), (-0.0, -0.0), (-1e-9, -1e-10), (-3.0, 1.0), (1.0, 1.0), (0.5, 2.0)]:
        _assert_all_agree(special_values(dtype), Draw(lower, upper, training), level)


@every_dtype
@pytest.mark.parametrize("shape", [(), (0,), (3, 0, 2), (1,), (8,), (17,), (2, 3, 5, 7), (99_991,)], ids=str)
def test_shapes(dtype: int, shape: tuple[int, ...]) -> None:
    _assert_all_agree(normal(shape, dtype), Draw())


@every_dtype
@both_modes
def test_bounds_that_are_not_the_usual_ones(dtype: int, training: bool) -> None:
    model = _model(dtype, Draw(training=training))
    draw = Draw(0.1, 0.7, training)
    for attribute in model.graph.node[dtype == BFLOAT16].attribute:  # after a Cast
        if attribute.name in {"lower", "upper"}:
            attribute.f = draw.arguments[attribute.name]
    actual = run(_stock_session(model), special_values(dtype), step_of(draw.step))
    for a, e in zip(actual, by_reference(special_values(dtype), draw)[:2], strict=True):
        assert_same_bits(a, e)


@pytest.mark.parametrize("training", [0, 1])
def test_mode_of_a_node_may_be_changed(training: int) -> None:
    draw = Draw(training=bool(training))
    model = _model(FLOAT, Draw(training=not training))
    next(a for a in model.graph.node[0].attribute if a.name == "training").i = training
    x = normal((40,), FLOAT)
    assert_same_bits(run(_stock_session(model), x, step_of(draw.step))[0], by_reference(x, draw).y)


@pytest.mark.parametrize("shape", [(), (1,), (1, 1)], ids=str)
def test_step_of_one_element(shape: tuple[int, ...]) -> None:
    of, x = _stock_session(_model(FLOAT, Draw())), normal((9,), FLOAT)
    actual = of.run(None, {"x": x, "step": np.full(shape, 3, np.int64)})
    assert_same_bits(actual[0], by_reference(x, Draw()).y)


@pytest.mark.parametrize("shape", [(0,), (2,)], ids=str)
def test_step_of_another_size(shape: tuple[int, ...]) -> None:
    of = _stock_session(_model(FLOAT, Draw()))
    with pytest.raises(Exception, match="Reshape"):
        of.run(None, {"x": normal((9,), FLOAT), "step": np.zeros(shape, np.int64)})


_STEPLESS = {"no step": (False, 42), "no seed": (True, -1), "neither": (False, -1)}


@pytest.mark.parametrize(("with_step", "seed"), _STEPLESS.values(), ids=_STEPLESS)
def test_fresh_draws_are_uniform(with_step: bool, seed: int) -> None:
    size, runs = 4096, 16
    model = _model(FLOAT, Draw(seed=seed), with_step=with_step)
    arrays = (-np.ones(size, np.float32), *([step_of(3)] if with_step else []))
    of = _stock_session(model)
    drawn = np.stack([run(of, *arrays)[1] for _ in range(runs)])
    u = (drawn.astype(np.float64) - schema.LOWER) / (schema.UPPER - schema.LOWER)
    assert len({row.tobytes() for row in drawn}) == len(drawn)
    # Kolmogorov and Smirnov, and the correlation between runs: six standard deviations each.
    ordered = np.sort(u.reshape(-1))
    assert np.abs(ordered - (np.arange(u.size) + 0.5) / u.size).max() < 6 * 0.5 / math.sqrt(u.size)
    correlations = np.asarray(np.corrcoef(u))[np.triu_indices(len(u), 1)]
    assert np.abs(correlations).max() < 6 / math.sqrt(size)


def test_nodes_without_seed_draw_apart() -> None:
    model = rrelu_model(training=1)
    twin = model.graph.node.add()
    twin.CopyFrom(model.graph.node[0])
    twin.output[:] = ["z", "z_noise"]
    model.graph.output.append(onnx.helper.make_tensor_value_info("z_noise", FLOAT, None))
    _, noise, other = run(_stock_session(ort_rrelu.graph.portable(model)), -np.ones(64, np.float32))
    assert (noise == other).sum() < 3


@every_dtype
@pytest.mark.parametrize("make", [_stock_session, _Evaluator])
def test_gradient(dtype: int, make: Any) -> None:
    x, dy = normal((7, 9), dtype), normal((7, 9), dtype, seed=8)
    noise = by_reference(x, Draw()).noise
    (dx,) = run(make(ort_rrelu.graph.portable(grad_model(dtype))), dy, noise)
    assert_same_bits(dx, reference.rrelu_grad(dy, noise))


def test_eval_folds_to_leaky_relu(tmp_path: Any) -> None:
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
    options.graph_optimization_level = _LEVELS["ORT_ENABLE_EXTENDED"]
    model = ort_rrelu.graph.portable(rrelu_model(outputs=["y"], shape=["n"]))
    onnxruntime.InferenceSession(model.SerializeToString(), options, ["CPUExecutionProvider"])
    nodes = onnx.load(options.optimized_model_filepath).graph.node
    assert {node.op_type for node in nodes} <= {"LeakyRelu", "Cast"}  # of the graph's output, to its own type
