"""Models run on single rows, and on the same rows together, in ONNX Runtime or in onnx's own evaluator."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import onnx
import onnxruntime
from onnx.reference import ReferenceEvaluator

import ort_rrelu
from ort_rrelu import schema
from ort_rrelu.arguments import Array
from ort_rrelu.evaluator import OPS

ROWS = 5
_KEPT = 2  # the place of a row among others
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
            if value.name == "step" and tensor.elem_type == onnx.TensorProto.INT64:
                feeds[value.name] = generator.choice([0, 7, 7, -1, 2**32, 2**63 - 1, -(2**63)], shape)
                continue
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


def check_rows(model: onnx.ModelProto, seed: int) -> int:
    """The rows of a batch are those that each row gives alone, up to the rounding of sums.

    Where a row alone is refused, all are. Among rows of other numbers, NaN too, a row has the same bits. What
    is drawn for a row has the same bits alone and among others: how many of these were compared is returned.
    """
    run, feeds = runner(model), feeds_of(model, seed)
    together, others = answer(run, feeds), answer(run, _others(feeds))
    for first, size in ((0, 1), (ROWS - 1, 1), (1, 2)):
        rows = slice(first, first + size)
        alone = answer(run, {name: array[rows] for name, array in feeds.items()})
        assert (alone is None) == (together is None)
        for whole, row in zip(together or (), alone or (), strict=True):
            assert len(whole) == ROWS
            _assert_close(whole[rows], row)
    for left, right in zip(together or (), others or (), strict=True):
        np.testing.assert_array_equal(left[_KEPT], right[_KEPT])
    return _check_draws(model, feeds)


def _check_draws(model: onnx.ModelProto, feeds: Mapping[str, Array]) -> int:
    """The noise of train nodes in the graph itself, bit for bit; how many elements were compared.

    An activation that is rounded to the other side of 0 has a slope in one of the runs only.
    """
    shown, nodes = _with_draws(model)
    if not nodes:
        return 0
    run, compared = runner(shown), 0
    together = answer(run, feeds)
    for row in range(ROWS):
        alone = answer(run, {name: array[row : row + 1] for name, array in feeds.items()})
        assert (alone is None) == (together is None)
        for (x, noise), (x_alone, noise_alone) in zip(_pairs(together), _pairs(alone), strict=True):
            cut = slice(row * len(x) // ROWS, (row + 1) * len(x) // ROWS)
            both = (x[cut] <= 0) & (x_alone <= 0)
            assert noise[cut][both].tobytes() == noise_alone[both].tobytes()
            compared += int(both.sum())
    return compared


def _with_draws(model: onnx.ModelProto) -> tuple[onnx.ModelProto, int]:
    """The model whose outputs are x and noise of each node that trains, and the number of these nodes."""
    shown = onnx.ModelProto()
    shown.CopyFrom(model)
    graph = shown.graph
    nodes = [node for node in graph.node if node.domain == schema.DOMAIN and node.op_type == schema.RRELU]
    drawing = [node for node in nodes if any(a.name == "training" and a.i for a in node.attribute)]
    del graph.output[:]
    for at, node in enumerate(drawing):
        noise = node.output[1] if len(node.output) > 1 else f"noise_{at}"
        del node.output[1:]
        node.output.append(noise)
        for name in (node.input[0], noise):
            graph.output.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None))
    return shown, len(drawing)


def _pairs(values: Sequence[Array] | None) -> list[tuple[Array, Array]]:
    return list(zip((values or ())[::2], (values or ())[1::2], strict=True))


def answer(run: _Run, feeds: Mapping[str, Array]) -> list[Array] | None:
    """The outputs; None where the runtime refuses the inputs."""
    try:
        return run(feeds)
    except (_states.Fail, _states.InvalidArgument, _states.RuntimeException):
        return None


def _others(feeds: Mapping[str, Array]) -> dict[str, Array]:
    """The same row at one place, others at the others."""
    changed = {name: array.copy() for name, array in feeds.items()}
    for array in changed.values():
        kept = array[_KEPT].copy()
        array[:] = array[::-1]
        if array.dtype.kind == "f":
            array[0], array[-1] = np.nan, 1000
        array[_KEPT] = kept
    return changed


def _assert_close(left: Array, right: Array) -> None:
    assert left.shape == right.shape
    if left.dtype.kind != "f":
        np.testing.assert_array_equal(left, right)
        return
    finite = np.abs(left[np.isfinite(left)])
    scale = float(finite.max()) if finite.size else 0.0
    np.testing.assert_allclose(left, right, rtol=1e-5, atol=1e-6 + 1e-5 * scale)
