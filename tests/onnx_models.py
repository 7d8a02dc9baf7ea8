"""The small models of the tests: one node of ours, with casts around it for bfloat16."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import ml_dtypes
import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper

import ort_rrelu
from ort_rrelu import schema

if TYPE_CHECKING:
    import pytest  # some environments that make models have none

Array = NDArray[Any]
Shape = Sequence[int | str | None] | None

FLOAT, FLOAT16 = int(TensorProto.FLOAT), int(TensorProto.FLOAT16)
DOUBLE, BFLOAT16 = int(TensorProto.DOUBLE), int(TensorProto.BFLOAT16)
DTYPES: dict[int, np.dtype[Any]] = {
    FLOAT: np.dtype(np.float32),
    DOUBLE: np.dtype(np.float64),
    FLOAT16: np.dtype(np.float16),
    BFLOAT16: np.dtype(ml_dtypes.bfloat16),
}

# The newest that ONNX Runtime 1.17 reads.
_OPSET, _IR_VERSION = 18, 9


def make_model(
    nodes: Sequence[onnx.NodeProto],
    inputs: Iterable[onnx.ValueInfoProto],
    outputs: Iterable[onnx.ValueInfoProto],
) -> onnx.ModelProto:
    """A model that every supported ONNX Runtime can read, with our domain imported."""
    graph = helper.make_graph(nodes, "test", list(inputs), list(outputs))
    imports = [helper.make_opsetid("", _OPSET), schema.opset_import()]
    return helper.make_model(graph, opset_imports=imports, ir_version=_IR_VERSION)


def parsed(text: str, functions: str = "", *, opset: int = 18, ir_version: int = 8) -> onnx.ModelProto:
    """A model from onnx's text form: a graph, then functions of the domain `own`."""
    header = f'<ir_version: {ir_version}, opset_import: ["": {opset}, "ort_rrelu": 1, "own": 1]>'
    return onnx.parser.parse_model(f"{header} {text} {functions}")


def _model_of_node(
    op: str,
    inputs: Mapping[str, Shape],
    outputs: Sequence[str],
    dtype: int,
    shape: Shape,
    name: str,
    **attributes: Any,
) -> onnx.ModelProto:
    """One node; where T is bfloat16, which Python cannot always feed, the model takes and gives float."""
    cast = dtype == BFLOAT16
    outside = FLOAT if cast else dtype

    def inside(value: str) -> str:
        return f"{value}_bfloat16" if cast and value not in {"", "step", "reserve"} else value

    def info(value: str, value_shape: Shape) -> onnx.ValueInfoProto:
        kind = {"step": TensorProto.INT64, "reserve": TensorProto.UINT8}.get(value, outside)
        return helper.make_tensor_value_info(value, kind, value_shape)

    def cast_nodes(pairs: Iterable[tuple[str, str]], to: int) -> list[onnx.NodeProto]:
        return [helper.make_node("Cast", [a], [b], to=to) for a, b in pairs if a != b]

    node = helper.make_node(
        op,
        [inside(i) for i in inputs],
        [inside(o) for o in outputs],
        name,
        domain=schema.DOMAIN,
        **attributes,
    )
    before = cast_nodes(((i, inside(i)) for i in inputs), BFLOAT16)
    after = cast_nodes(((inside(o), o) for o in outputs), FLOAT)
    return make_model(
        [*before, node, *after],
        [info(i, s) for i, s in inputs.items() if i],
        [info(o, None if o == "reserve" else shape) for o in outputs if o],
    )


def rrelu_model(
    dtype: int = FLOAT,
    *,
    shape: Shape = None,
    outputs: Sequence[str] = ("y", "noise"),
    with_step: bool = False,
    step_shape: Shape = None,
    name: str = "",
    **attributes: Any,
) -> onnx.ModelProto:
    """x [, step] -> RRelu -> outputs; shape=None leaves even the rank open."""
    inputs: dict[str, Shape] = {"x": shape} | ({"step": step_shape} if with_step else {})
    return _model_of_node(schema.RRELU, inputs, outputs, dtype, shape, name, **attributes)


def grad_model(
    dtype: int = FLOAT, *, saved: str = "noise", shape: Shape = None, name: str = ""
) -> onnx.ModelProto:
    """dy, saved (noise or reserve) -> RReluGrad -> dx."""
    bytes_of_reserve: Shape = None if shape is None else ["bytes"]
    inputs: dict[str, Shape] = {"dy": shape, saved: bytes_of_reserve if saved == "reserve" else shape}
    return _model_of_node(schema.RRELU_GRAD, inputs, ["dx"], dtype, shape, name)


def beside_matmul(op: str, *, training: int) -> tuple[onnx.ModelProto, tuple[Array, Array, Array]]:
    """x, w, step -> MatMul or Gemm in float16 -> RRelu -> y, noise; its gradient of that -> dx; and inputs.

    The products need more bits than a float16 has, and a float holds their sums exactly, in any order.
    """
    model = onnx.parser.parse_model(f"""<ir_version: 8, opset_import: ["": 18, "ort_rrelu": 1]>
        net (float16[n,2] x, float16[2,16] w, int64 step) => (float16[n,16] y, float16[n,16] dx) {{
            h = {op} (x, w)
            y, noise = ort_rrelu.RRelu <training = {training}, seed = 3> (h, step)
            dy = {op} (x, w)
            dx = ort_rrelu.RReluGrad (dy, noise) }}""")
    generator = np.random.default_rng(8)
    x, w = (
        (generator.integers(-2047, 2048, shape) / 1024).astype(np.float16) for shape in ((32, 2), (2, 16))
    )
    return model, (x, w, np.array(5))


def session(
    model: onnx.ModelProto,
    *,
    threads: int = 1,
    arena: bool = True,
    seed: int | None = None,
    config: Mapping[str, str] | None = None,
    optimization: onnxruntime.GraphOptimizationLevel = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL,
) -> onnxruntime.InferenceSession:
    """A plain ONNX Runtime session with the library registered, so that nothing but the kernels checks."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.enable_cpu_mem_arena = options.enable_mem_pattern = arena
    options.graph_optimization_level = optimization
    options.log_severity_level = 4  # refusals are what many tests are after
    for key, value in (config or {}).items():
        options.add_session_config_entry(key, value)
    ort_rrelu.register(options, seed=seed)
    return onnxruntime.InferenceSession(model.SerializeToString(), options, ["CPUExecutionProvider"])


def stock_session(model: onnx.ModelProto) -> onnxruntime.InferenceSession:
    """A session of an ONNX Runtime that knows nothing of the library."""
    return onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])


def run(of: onnxruntime.InferenceSession, *arrays: Array) -> list[Array]:
    """One run on arrays in the order of the model's inputs; outputs, but bytes, come in the first's dtype."""
    feeds = {
        value.name: array.astype(np.float32) if array.dtype == DTYPES[BFLOAT16] else array
        for value, array in zip(of.get_inputs(), arrays, strict=True)
    }
    outputs = map(np.asarray, of.run(None, feeds))
    return [o if o.dtype == np.uint8 else o.astype(arrays[0].dtype) for o in outputs]


def step_of(step: int | Array) -> Array:
    """A step, or one for each row, as the operator takes it."""
    return np.atleast_1d(np.asarray(step, np.int64))


def handed_over(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What ONNX Runtime's class is given from now on."""
    given: list[Any] = []
    made = onnxruntime.InferenceSession.__init__

    def spy(self: Any, source: Any, *args: Any, **kw: Any) -> None:
        given.append(source)
        made(self, source, *args, **kw)

    monkeypatch.setattr(onnxruntime.InferenceSession, "__init__", spy)
    return given
