"""float16 beside operators that ONNX Runtime's CPU provider computes in float, between casts of its own.

It drops a rounding between its cast to float16 and one that follows. Our standard operators keep it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import numpy_helper

import ort_rrelu
from ort_rrelu import reference
from tests.bits import assert_same_bits
from tests.onnx_models import Array, beside_matmul

_LEVELS = onnxruntime.GraphOptimizationLevel
_MADE: dict[str, Callable[[onnx.ModelProto], onnx.ModelProto]] = {
    "portable": ort_rrelu.graph.portable,
    "lowered": partial(ort_rrelu.graph.lower, exact=True),
}


def _without_library(
    model: onnx.ModelProto, inputs: tuple[Array, ...], level: onnxruntime.GraphOptimizationLevel
) -> list[Array]:
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = level
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, ["CPUExecutionProvider"])
    names = [value.name for value in session.get_inputs()]
    given = dict(zip(("x", "w", "step"), inputs, strict=True))
    return [np.asarray(y) for y in session.run(None, {name: given[name] for name in names})]


def _alone(op: str) -> onnx.ModelProto:
    return onnx.parser.parse_model(f"""<ir_version: 8, opset_import: ["": 18]>
        net (float16[n,2] x, float16[2,16] w) => (float16[n,16] h) {{ h = {op} (x, w) }}""")


@pytest.mark.parametrize(
    "level",
    [_LEVELS.ORT_DISABLE_ALL, _LEVELS.ORT_ENABLE_BASIC, _LEVELS.ORT_ENABLE_EXTENDED, _LEVELS.ORT_ENABLE_ALL],
    ids=["no optimization", "basic", "extended", "all"],
)
@pytest.mark.parametrize("training", [0, 1], ids=["eval", "train"])
@pytest.mark.parametrize("op", ["MatMul", "Gemm"])
@pytest.mark.parametrize("made", _MADE.values(), ids=_MADE)
def test_the_rounding_before_us_stays(
    made: Callable[[onnx.ModelProto], onnx.ModelProto],
    op: str,
    training: int,
    level: onnxruntime.GraphOptimizationLevel,
) -> None:
    model, inputs = beside_matmul(op, training=training)
    x, w, step = inputs
    # Not NumPy's product: ONNX Runtime 1.29 adds up a Gemm of float16 in float16.
    (h,) = _without_library(_alone(op), inputs, level)
    assert h.dtype == np.float16 and (h != x.astype(np.float32) @ w.astype(np.float32)).mean() > 0.9
    y, noise = reference.rrelu(h, training=bool(training), seed=3, step=int(step), return_noise=True)
    for actual, expected in zip(
        _without_library(made(model), inputs, level), (y, reference.rrelu_grad(h, noise)), strict=True
    ):
        assert_same_bits(actual, np.asarray(expected))


@pytest.mark.parametrize("made", _MADE.values(), ids=_MADE)
def test_a_convolution_in_float_takes_the_activation(
    made: Callable[[onnx.ModelProto], onnx.ModelProto], tmp_path: Path
) -> None:
    """Nothing of what float16 needs stands between the two then."""
    model = onnx.parser.parse_model("""<ir_version: 8, opset_import: ["": 18, "ort_rrelu": 1]>
        net (float[1,3,8,8] x) => (float[1,4,6,6] y) <float[4,3,3,3] k> {
            h = Conv (x, k) a = ort_rrelu.RRelu (h) y = Neg (a) }""")
    model.graph.initializer.append(numpy_helper.from_array(np.ones((4, 3, 3, 3), np.float32), "k"))
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
    onnxruntime.InferenceSession(made(model).SerializeToString(), options, ["CPUExecutionProvider"])
    ops = {node.op_type for node in onnx.load(options.optimized_model_filepath).graph.node}
    assert not ops & {"LeakyRelu", "Reshape", "If"}
