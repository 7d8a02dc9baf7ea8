"""The valid models that fuzzers damage: each tool takes one or refuses it by its documentation."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import numpy_helper

import ort_rrelu


def parse_seed(body: str, *, opset: int = 18, functions: str = "") -> onnx.ModelProto:
    """A model in onnx's text form, with our domain and one for functions."""
    header = f'<ir_version: 8, opset_import: ["": {opset}, "ort_rrelu": 1, "own": 1]> '
    return onnx.parser.parse_model(header + body + functions)


_X, _Y = "float[n,3] x", "float[n,3] y"
_DRAW = "RandomUniformLike <low = 0.125, high = 0.5>"
_FUNCTIONS = """
<domain: "own", opset_import: ["": 18, "ort_rrelu": 1, "own": 1]>
Inner <t> (a) => (b) { b = ort_rrelu.RRelu <training : int = @t, seed = 3> (a) }
<domain: "own", opset_import: ["": 18, "own": 1]>
Outer (a) => (b) { h = own.Inner <t = 1> (a) b = Relu (h) }
"""


def _weights(model: onnx.ModelProto) -> onnx.ModelProto:
    model.graph.initializer.append(numpy_helper.from_array(np.ones((3, 3), np.float32), "w"))
    return model


def _large_weights(model: onnx.ModelProto) -> onnx.ModelProto:
    model.graph.initializer.append(numpy_helper.from_array(np.ones((400, 3), np.float32), "large"))
    return _weights(model)


def _with_weights_elsewhere(model: onnx.ModelProto) -> onnx.ModelProto:
    for tensor in _weights(model).graph.initializer:
        onnx.external_data_helper.set_external_data(tensor, "weights.bin", 0, 36)
        tensor.ClearField("raw_data")
    return model


_TRAIN = "ort_rrelu.RRelu <training = 1, seed = 7>"
_IN_SCAN = (
    "g (float[n,3] x) => (float[n,3] y, float[3] last) { zero = Constant <value = float[3] {0, 0, 0}> () "
    "last, y = Scan <num_scan_inputs = 1, body = b (float[3] s, float[3] a) => (float[3] s2, float[3] r) "
    "{ r = ort_rrelu.RRelu <training = 1> (a) s2 = Add (s, r) }> (zero, x) }"
)
_IN_LOOP = (
    "g (float[n,3] x) => (float[n,3] y) { times = Constant <value = int64 {3}> () "
    "yes = Constant <value = bool {1}> () "
    "y = Loop <body = b (int64 i, bool go, float[n,3] v) => (bool go2, float[n,3] v2) "
    "{ go2 = Identity (go) v2 = ort_rrelu.RRelu <training = 1> (v) }> (times, yes, x) }"
)
_IN_IF = (
    f"g (bool c, {_X}) => ({_Y}) {{ y = If (c) <"
    "then_branch = a () => (float[n,3] b) { b = ort_rrelu.RRelu <training = 1> (x) }, "
    "else_branch = e () => (float[n,3] b) { d = ort_rrelu.RRelu (x) b = Identity (d) }> }"
)


def _of_tf2onnx(product: str) -> onnx.ModelProto:
    """Its choice between h, which is transposed, and p, a product of it."""
    model = parse_seed(
        f"g ({_X}) => ({_Y}) <float zero = {{0}}, float half = {{0.5}}, int64[2] order = {{1, 0}}, "
        "int64[1] none = {0}, int64[1] one = {1}, int64[1] two = {2}> { "
        f"h = Transpose <perm = [1, 0]> (x) {product} m = GreaterOrEqual (h, zero) i = Not (m) "
        "j = Cast <to = 1> (m) o = Cast <to = 1> (i) a = Mul (j, h) b = Mul (p, o) [act] z = Add (a, b) "
        "y = Transpose <perm = [1, 0]> (z) }"
    )
    model.producer_name = "tf2onnx"
    return model


# Each of these is valid, and each tool takes it or refuses it by its documentation.
SEEDS: dict[str, onnx.ModelProto] = {
    "eval": parse_seed(f"g ({_X}) => ({_Y}) {{ [act] y = ort_rrelu.RRelu (x) }}"),
    "chain": parse_seed(
        f"g ({_X}, int64 step) => ({_Y}) {{ h = {_TRAIN} (x, step) a = Relu (h) y = ort_rrelu.RRelu (a) }}"
    ),
    "old opset": parse_seed(f"g ({_X}) => ({_Y}) {{ h = Relu (x) y = {_TRAIN} (h) }}", opset=11),
    "new opset": parse_seed(f"g ({_X}) => ({_Y}) {{ h = Relu (x) y = {_TRAIN} (h) }}", opset=23),
    "half": parse_seed(
        "g (float16[n,3] x) => (float16[n,3] y) { [act] y = ort_rrelu.RRelu <upper = 7e4> (x) }"
    ),
    "double": parse_seed(
        f"g (double[n,3] x) => (double[n,3] y, double[n,3] noise) {{ y, noise = {_TRAIN} (x) }}"
    ),
    "gradient": parse_seed(
        f"g ({_X}, float[n,3] dy) => ({_Y}, float[n,3] dx) "
        f"{{ y, noise = {_TRAIN} (x) dx = ort_rrelu.RReluGrad (dy, noise) }}"
    ),
    "reserve": parse_seed(
        f"g ({_X}, float[n,3] dy) => ({_Y}, float[n,3] dx) "
        f"{{ y, noise, reserve = {_TRAIN} (x) dx = ort_rrelu.RReluGrad (dy, reserve) }}"
    ),
    "if": parse_seed(_IN_IF),
    "loop": parse_seed(_IN_LOOP),
    "scan": parse_seed(_IN_SCAN),
    "functions": parse_seed(
        f"g ({_X}) => ({_Y}) {{ h = own.Outer (x) y = own.Inner <t = 0> (h) }}", functions=_FUNCTIONS
    ),
    "weights": _weights(parse_seed(f"g ({_X}) => ({_Y}) {{ h = MatMul (x, w) y = {_TRAIN} (h) }}")),
    "large weights": _large_weights(
        parse_seed(f"g ({_X}) => ({_Y}) {{ h = MatMul (x, w) y = {_TRAIN} (h) }}", opset=12)
    ),
    "weights elsewhere": _with_weights_elsewhere(
        parse_seed(f"g ({_X}) => ({_Y}) {{ h = MatMul (x, w) y = ort_rrelu.RRelu (h) }}")
    ),
    "stock PRelu": parse_seed(f"g ({_X}) => ({_Y}) {{ r = {_DRAW} (x) [act] y = PRelu (x, r) }}"),
    "stock Where": parse_seed(
        f"g ({_X}) => ({_Y}) {{ zero = Constant <value = float {{0}}> () m = LessOrEqual (x, zero) "
        f"r = {_DRAW} (x) half = Constant <value = float {{0.5}}> () s = Mul (r, half) p = Mul (x, s) "
        "[act] y = Where (m, p, x) }"
    ),
    "stock Mul": parse_seed(
        f"g ({_X}) => ({_Y}) {{ zero = Constant <value = float {{0}}> () m = Greater (x, zero) "
        f"n = Not (m) one = Constant <value = float {{1}}> () d = Cast <to = 11> (x) r = {_DRAW} (d) "
        "s = CastLike (r, x) f = Where (n, s, one) i = Identity (x) [act] z = Mul (i, f) "
        "y = LeakyRelu (z) }"
    ),
    "stock sum": _of_tf2onnx(
        """s = Shape (x) g = Gather (s, order) l = Slice (g, one, two) f = Slice (g, none, one)
        k = Concat <axis = 0> (f, l) v = Cast <to = 7> (k) c = ConstantOfShape (v)
        u = RandomUniformLike <dtype = 1, seed = 0.0> (c) p = Mul (u, h)"""
    ),
    "stock sum, eval": _of_tf2onnx("q = Mul (half, x) p = Transpose <perm = [1, 0]> (q)"),
    "stock in a function": parse_seed(
        f"g ({_X}) => ({_Y}) {{ y = own.Act (x) }}",
        functions=f'<domain: "own", opset_import: ["": 18]> Act (a) => (b) {{ r = {_DRAW} (a) '
        "b = PRelu (a, r) }",
    ),
}
SEEDS["portable"] = ort_rrelu.graph.portable(SEEDS["chain"])
SEEDS["portable, renamed"] = onnx.compose.add_prefix(SEEDS["portable"], "a/")
SEEDS["portable in a body"] = ort_rrelu.graph.portable(SEEDS["if"])
SEEDS["lowered"] = ort_rrelu.graph.lower(SEEDS["chain"])
