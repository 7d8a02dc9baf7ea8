"""Models run on single rows, and on the same rows together, in ONNX Runtime or in onnx's own evaluator."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import onnx
import onnxruntime
from onnx.reference import ReferenceEvaluator

import ort_rrelu
from ort_rrelu.arguments import Array
from ort_rrelu.evaluator import OPS

__all__ = ["ROWS", "check_rows"]

ROWS = 5
_Run = Callable[[Mapping[str, Array]], list[Array]]


def feeds_of(model: onnx.ModelProto, seed: int, rows: int = ROWS) -> dict[str, Array]:
    """Random inputs, all of one number of rows: small whole numbers, which products keep exact."""
    generator = np.random.default_rng(seed)
    weights = {tensor.name for tensor in model.graph.initializer}
    feeds = {}
    for value in model.graph.input:
        if value.name not in weights:
            tensor = value.type.tensor_type
            shape = [d.dim_value or rows for d in tensor.shape.dim]
            drawn = generator.integers(1, 4, shape)
            if tensor.elem_type == onnx.TensorProto.STRING:
                feeds[value.name] = drawn.astype(str).astype(object)
                continue
            dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type)
            signs = generator.choice([-1, 1], shape) if dtype.kind == "f" else 1
            feeds[value.name] = np.asarray(drawn * signs).astype(dtype)
    return feeds


def runner(model: onnx.ModelProto) -> _Run:
    """What runs the model: ONNX Runtime, or onnx's evaluator for operators that it lacks."""
    options = ort_rrelu.register()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(model.SerializeToString(), options, ["CPUExecutionProvider"])
    except (_states.NotImplemented, _states.InvalidGraph, _states.Fail):
        evaluator = ReferenceEvaluator(model, new_ops=list(OPS))
        return lambda feeds: [np.asarray(y) for y in evaluator.run(None, dict(feeds))]
    return lambda feeds: [np.asarray(y) for y in session.run(None, dict(feeds))]


_states = onnxruntime.capi.onnxruntime_pybind11_state


def check_rows(model: onnx.ModelProto, seed: int) -> None:
    """The rows of a batch are those that each row gives alone, up to the rounding of sums."""
    run, feeds = runner(model), feeds_of(model, seed)
    together = run(feeds)
    for place in range(ROWS):
        alone = run({name: array[place : place + 1] for name, array in feeds.items()})
        for whole, row in zip(together, alone, strict=True):
            assert len(whole) == ROWS
            _assert_close(whole[place : place + 1], row)


def _assert_close(left: Array, right: Array) -> None:
    assert left.shape == right.shape
    if left.dtype.kind != "f":
        np.testing.assert_array_equal(left, right)
        return
    np.testing.assert_allclose(left, right, rtol=1e-5, atol=1e-6)
