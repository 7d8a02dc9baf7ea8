"""Operators that keep the rows of a batch apart, and those that do not: a few nodes each."""

from __future__ import annotations

from dataclasses import dataclass

import onnx

from tests.serving_models import parse

__all__ = ["APART", "MIXING", "Case"]


@dataclass(frozen=True)
class Case:
    """Inputs, a body that gives y, and constants."""

    inputs: str
    body: str
    constants: str = ""
    opset: int = 18

    def model(self) -> onnx.ModelProto:
        """The model; what is not known of its output's shape is left out."""
        constants = f"<{self.constants}>" if self.constants else ""
        text = f"g ({self.inputs}) => (float[batch] y) {constants} {{ {self.body} }}"
        model = parse(text, opset=self.opset)
        model.graph.output[0].ClearField("type")
        inferred = onnx.shape_inference.infer_shapes(model, data_prop=True)
        kind = inferred.graph.output[0].type
        unknown = not kind.tensor_type.elem_type
        model.graph.output[0].type.CopyFrom(model.graph.input[0].type if unknown else kind)
        dims = model.graph.output[0].type.tensor_type.shape.dim
        for dim in dims if len(dims) else [dims.add()]:
            dim.Clear()
        dims[0].dim_param = "batch"
        return model


def _weights(name: str, *dims: int, kind: str = "float") -> str:
    count = 1
    for dim in dims:
        count *= dim
    values = ", ".join(str(i * 5 % 7 + 1) for i in range(count))
    return f"{kind}[{','.join(map(str, dims))}] {name} = {{{values}}}"


def _ints(**values: list[int]) -> str:
    return ", ".join(f"int64[{len(v)}] {k} = {{{', '.join(map(str, v))}}}" for k, v in values.items())


def _each(ops: str, inputs: str, body: str, constants: str = "", opset: int = 18) -> list[Case]:
    return [Case(inputs, body.replace("OP", op), constants, opset) for op in ops.split()]


_X = "float[batch,4] x"
_PAIR = "float[batch,4] x, float[batch,4] z"
_LONG = "float[batch,3,4] x"
_IMAGE = "float[batch,4,6,6] x"
_INTS = "int64[batch,4] x, int64[batch,4] z"
_BOOLS = "bool[batch,4] x, bool[batch,4] z"
_BYTES = "uint8[batch,4] x"
_SCALE = "float s = {0.5}, uint8 q = {3}"
_STEPS = "t = Transpose <perm = [1, 0, 2]> (x)"  # [3, batch, 4]
_ROWS = "n = Shape <start = 0, end = 1> (x)"
_SOME = _ints(zero=[0], one=[1], two=[2], four=[4], rest=[-1])
_OF_CHANNELS = _weights("s", 4)

_ELEMENTWISE = [
    *_each("Abs Acos Acosh Asin Asinh Atan Atanh Ceil Celu Cos Cosh Elu Erf Exp Floor", _X, "y = OP (x)"),
    *_each("HardSigmoid HardSwish Identity LeakyRelu Log Mish Neg Reciprocal Relu Round", _X, "y = OP (x)"),
    *_each("Selu Shrink Sigmoid Sign Sin Sinh Softplus Softsign Sqrt Tan Tanh Dropout", _X, "y = OP (x)"),
    *_each("ThresholdedRelu IsNaN IsInf ort_rrelu.RRelu", _X, "y = OP (x)"),
    *_each("Gelu", _X, "y = OP (x)", opset=20),
    *_each("Swish", _X, "y = OP (x)", opset=24),
    *_each("Add Div Max Mean Min Mul Pow Sub Sum PRelu", _X, "y = OP (x, s)", _OF_CHANNELS),
    *_each("Add Div Max Mean Min Mul Pow Sub Sum", _PAIR, "y = OP (x, z)"),
    *_each("Equal Greater GreaterOrEqual Less LessOrEqual", _INTS, "y = OP (x, z)"),
    *_each("BitwiseAnd BitwiseOr BitwiseXor", _INTS, "y = OP (x, z)"),
    *_each("And Or Xor", _BOOLS, "y = OP (x, z)"),
    Case(_PAIR, "y = Mod <fmod = 1> (x, z)"),
    Case("uint64[batch,4] x, uint64[batch,4] z", 'y = BitShift <direction = "LEFT"> (x, z)'),
    Case(_BOOLS, "y = Not (x)"),
    Case(_INTS, "y = BitwiseNot (x)"),
    Case(_X, "y = BitCast <to = 6> (x)", opset=26),
    Case(_X, "y = Cast <to = 11> (x)"),
    Case("float[batch,4] x, double[batch,4] z", "y = CastLike (x, z)"),
    Case("float[batch,4] x, double[batch,4] z", "d = CastLike (s, x) y = Mul (x, d)", _OF_CHANNELS),
    Case(_X, "y = Clip (x, low)", "float low = {-1}"),
    Case("bool[batch,4] z, float[batch,1] x", "y = Where (z, x, c)", "float c = {7}"),
    Case("string[batch,2] x", "y = StringConcat (x, x)", opset=20),
    Case(_PAIR, "y = SwiGLU (x, z)", opset=28),
    Case(_PAIR, "y = ort_rrelu.RReluGrad (x, z)"),
    Case("float[batch,3,4] x, float[batch,4] z", "u = Unsqueeze (z, one) y = Add (x, u)", _SOME),
]

_ALONG_OTHER_AXES = [
    *_each(
        "ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd",
        _LONG,
        "y = OP <keepdims = 0> (x, rest)",
        _SOME,
    ),
    *_each("ReduceSum ReduceSumSquare", _LONG, "y = OP (x, one)", _SOME),
    *_each("ReduceSum ReduceMean", _LONG, "y = OP <axes = [1, -1]> (x)", opset=11),
    Case(_LONG, f"{_STEPS} y = ReduceMax <keepdims = 0> (t, zero)", _SOME),
    Case(_X, "y = ReduceMean <noop_with_empty_axes = 1> (x)"),
    *_each("Softmax LogSoftmax Hardmax LpNormalization", _X, "y = OP (x)"),
    *_each("Softmax LogSoftmax Hardmax", _LONG, "y = OP (x)", opset=11),
    *_each("ArgMax ArgMin", _LONG, "y = OP <axis = 1, keepdims = 0> (x)"),
    Case(_X, "y = CumSum (x, one)", _SOME),
    Case(_X, "y = CumProd (x, one)", "int64 one = {1}", opset=26),
    Case(_X, "y, i = TopK (x, two)", _SOME),
    Case(_LONG, "y = LayerNormalization (x, s)", _OF_CHANNELS),
    Case(_LONG, "y = RMSNormalization (x, s)", _OF_CHANNELS, 23),
    Case(_IMAGE, "y = MeanVarianceNormalization <axes = [1, 2, 3]> (x)"),
    Case(_IMAGE, "y = LRN <size = 3> (x)"),
    Case(_IMAGE, "y = InstanceNormalization (x, s, s)", _OF_CHANNELS),
    Case(_IMAGE, "y = GroupNormalization <num_groups = 2> (x, s, s)", _OF_CHANNELS, 21),
    Case(_IMAGE, "y = BatchNormalization (x, s, s, s, s)", _OF_CHANNELS),
    Case(_X, "y = Dropout (x, ratio, off)", "float ratio = {0.5}, bool off = {0}"),
    Case(_LONG, "y = Trilu (x)"),
]

_OF_IMAGES = [
    *_each("GlobalAveragePool GlobalMaxPool GlobalLpPool", _IMAGE, "y = OP (x)"),
    *_each("AveragePool MaxPool LpPool", _IMAGE, "y = OP <kernel_shape = [2, 2]> (x)"),
    *_each("SpaceToDepth DepthToSpace", _IMAGE, "y = OP <blocksize = 2> (x)"),
    Case(_IMAGE, "y = Conv (x, w)", _weights("w", 2, 4, 1, 1)),
    Case(_IMAGE, "y = ConvTranspose (x, w)", _weights("w", 4, 2, 1, 1)),
    Case(f"{_IMAGE}, float[batch,2,6,6] o", "y = DeformConv (x, w, o)", _weights("w", 2, 4, 1, 1), 22),
    Case(f"{_IMAGE}, float[batch,2,2,2] z", "y = GridSample (x, z)", opset=20),
    Case("float[batch,4,9] x", "y = Col2Im (x, i, b)", _ints(i=[4, 4], b=[2, 2])),
    Case(_IMAGE, "y = Resize (x, , s)", "float[4] s = {1, 1, 2, 2}"),
    Case(_IMAGE, 'y = Resize <mode = "linear"> (x, , s)', "float[4] s = {1, 1, 2, 2}"),
    Case(_IMAGE, f"{_ROWS} s = Concat <axis = 0> (n, c) y = Resize (x, , , s)", _ints(c=[4, 3, 5])),
    Case(_IMAGE, "y = Upsample (x, s)", "float[4] s = {1, 1, 2, 2}", 9),
]

_OF_AXES = [
    Case(_LONG, "y = Transpose <perm = [0, 2, 1]> (x)"),
    Case(_X, "t = Transpose (x) u = Relu (t) y = Transpose (u)"),
    Case(_LONG, "y = Reshape (x, s)", _ints(s=[0, -1])),
    Case(_LONG, "y = Reshape (x, s)", _ints(s=[-1, 12])),
    Case(_LONG, "f = Reshape (x, s) m = Softmax (f) y = Reshape (m, u)", _ints(s=[-1, 4], u=[-1, 3, 4])),
    Case(_LONG, f"{_ROWS} s = Concat <axis = 0> (n, rest) y = Reshape (x, s)", _SOME),
    Case(
        _LONG,
        f"{_ROWS} m = Mul (n, two) s = Concat <axis = 0> (m, rest) f = Reshape (x, s) r = Softmax (f) "
        "u = Shape (x) y = Reshape (r, u)",
        _SOME,
    ),
    Case(
        _LONG,
        f"{_STEPS} f = Flatten <axis = 2> (t) r = Softmax (f) u = Reshape (r, s) "
        "y = Transpose <perm = [1, 0, 2]> (u)",
        _ints(s=[3, -1, 4]),
    ),
    Case(_LONG, "y = Flatten (x)"),
    Case("float[batch,1,4] x", "y = Squeeze (x, one)", _SOME),
    Case("float[batch,1,4] x", "y = Squeeze <axes = [1]> (x)", opset=11),
    Case(_X, "u = Unsqueeze (x, ends) y = Squeeze (u, zero)", f"{_SOME}, {_ints(ends=[0, -1])}"),
    Case(_X, "y = Unsqueeze <axes = [1]> (x)", opset=11),
    Case(_PAIR, "y = Concat <axis = 1> (x, z)"),
    Case(_X, "y = Slice (x, one, four, one)", _SOME),
    Case(_X, "y = Slice (x, s, e)", _ints(s=[0, 1], e=[2**63 - 1, 3])),
    Case(_X, f"{_ROWS} y = Slice (x, zero, n, zero)", _SOME),
    Case(_X, "y = Slice <starts = [1], ends = [3], axes = [1]> (x)", opset=9),
    Case(_X, "y, z = Split <axis = 1, num_outputs = 2> (x)"),
    Case(_LONG, "y = Gather <axis = 1> (x, i)", _ints(i=[1, 0])),
    Case(_LONG, "y = Gather <axis = 1> (x, i)", "int64 i = {-1}"),
    Case(_LONG, f"{_STEPS} y = Gather <axis = 0> (t, i)", "int64 i = {-1}"),
    Case("int64[batch,2] x", "i = Mod (x, four) y = Gather (w, i)", f"{_SOME}, {_weights('w', 4, 2)}"),
    Case("int64[batch,1] x", "i = Mod (x, four) y = GatherND (w, i)", f"{_SOME}, {_weights('w', 4, 2)}"),
    Case(_X + ", int64[batch,4] z", "i = Mod (z, four) y = GatherElements <axis = 1> (x, i)", _SOME),
    Case(_X + ", int64[batch,1] z", "i = Mod (z, four) y = GatherND <batch_dims = 1> (x, i)", _SOME),
    Case(
        _PAIR + ", int64[batch,4] i",
        'j = Mod (i, four) y = ScatterElements <axis = 1, reduction = "max"> (x, j, z)',
        _SOME,
    ),
    Case(
        _PAIR,
        "i = ArgMax <axis = 1> (x) u = ReduceMax <axes = [1]> (z) y = Scatter <axis = 1> (x, i, u)",
        opset=10,
    ),
    Case(_X, "y = Pad (x, p)", _ints(p=[0, 1, 0, 2])),
    Case(_X, "y = Pad (x, p, , one)", f"{_SOME}, {_ints(p=[1, 2])}"),
    Case(_X, "y = Pad <pads = [0, 1, 0, 2]> (x)", opset=9),
    Case(_X, "y = Tile (x, r)", _ints(r=[1, 2])),
    Case("float[batch,1] x", f"{_ROWS} s = Concat <axis = 0> (n, four) y = Expand (x, s)", _SOME),
    Case(
        _X,
        f"{_ROWS} s = Concat <axis = 0> (n, one) e = Expand (w, s) y = Concat <axis = 1> (x, e)",
        f"{_SOME}, {_weights('w', 1, 4)}",
    ),
    Case(
        _X,
        f"{_ROWS} s = Concat <axis = 0> (n, two) e = ConstantOfShape (s) y = Concat <axis = 1> (x, e)",
        _SOME,
    ),
    Case("int64[batch,2] x", "y = OneHot (x, d, v)", f"int64 d = {{3}}, {_ints(v=[0, 1])}"),
    Case(
        _LONG + ", int64[batch] z",
        "m = Mod (z, two) l = Add (m, one) y = ReverseSequence <batch_axis = 0, time_axis = 1> (x, l)",
        _SOME,
    ),
]

_MATRICES = "float[batch,3,4] x, float[batch,4,2] z"

_PRODUCTS = [
    Case(_X, "y = MatMul (x, w)", _weights("w", 4, 2)),
    Case(_X, "t = Transpose (x) m = MatMul (w, t) y = Transpose (m)", _weights("w", 2, 4)),
    Case(_MATRICES, "y = MatMul (x, z)"),
    Case(_LONG, "y = MatMul (w, x)", _weights("w", 1, 2, 3)),
    Case(_X, "y = Gemm (x, w, c)", f"{_weights('w', 4, 2)}, {_weights('c', 2)}"),
    Case(_PAIR, "t = Transpose (x) y = Gemm <transA = 1> (t, w, z)", _weights("w", 4, 4)),
    Case(_MATRICES, 'y = Einsum <equation = "bij,bjk->bik"> (x, z)'),
    Case("float[batch,3,4] x, float[batch,3,4] z", 'y = Einsum <equation = "...ij,...kj->...ik"> (x, z)'),
    Case(_LONG, 'y = Einsum <equation = "bij"> (x)'),
    Case(_PAIR, 'y = Einsum <equation = "bi, bi -> b"> (x, z)'),
    Case(
        "float[batch,3,8] x, float[batch,5,8] z",
        "y = Attention <q_num_heads = 2, kv_num_heads = 2> (x, z, z, m)",
        _weights("m", 3, 5),
        23,
    ),
    Case("float[batch,2,3,4] x, float[batch,3,2] z", "y = RotaryEmbedding (x, z, z)", opset=23),
    Case(
        "float[batch,2,3,4] x, int64[batch,3] z",
        "p = Mod (z, four) y = RotaryEmbedding (x, c, c, p)",
        f"{_SOME}, {_weights('c', 4, 2)}",
        23,
    ),
]

_ZEROS = f"{_ROWS} s = Concat <axis = 0> (one, n, two) zeros = ConstantOfShape (s)"


def _recurrent(op: str, gates: int, state: str) -> Case:
    """Exporters' way of a layer that has the batch first: between two transpositions."""
    node = f"h, last = {op} <hidden_size = 2> (t, w, r{state})"
    weights = ", ".join((_weights("w", 1, gates * 2, 4), _weights("r", 1, gates * 2, 2), _SOME))
    body = f"{_STEPS} {_ZEROS} {node} u = Squeeze (h, one) y = Transpose <perm = [1, 0, 2]> (u)"
    return Case(_LONG, body, weights, 15)


_RECURRENT = [
    _recurrent("LSTM", 4, ""),
    _recurrent("LSTM", 4, ", , , zeros, zeros"),
    _recurrent("GRU", 3, ", , , zeros"),
    _recurrent("RNN", 1, ", , , zeros"),
]

_QUANTIZED = [
    Case(_X, "y = QuantizeLinear (x, s, q)", _SCALE),
    Case(_BYTES, "y = DequantizeLinear (x, s, q)", _SCALE),
    Case(_BYTES, "y = DequantizeLinear <axis = 1> (x, s)", _OF_CHANNELS),
    Case(_BYTES, "y = MatMulInteger (x, w, q)", f"{_SCALE}, {_weights('w', 4, 2, kind='uint8')}"),
    Case(
        _BYTES, "y = QLinearMatMul (x, s, q, w, s, q, s, q)", f"{_SCALE}, {_weights('w', 4, 2, kind='uint8')}"
    ),
    Case("uint8[batch,1,3,3] x", "y = ConvInteger (x, w)", _weights("w", 1, 1, 2, 2, kind="uint8")),
    Case(
        "uint8[batch,1,3,3] x",
        "y = QLinearConv (x, s, q, w, s, q, s, q)",
        f"{_SCALE}, {_weights('w', 1, 1, 2, 2, kind='uint8')}",
    ),
]

_BRANCHES = (
    "then_branch = t () => (float[n,4] a) { a = Relu (x) }, else_branch = e () => (float[n,4] b) { b = %s }"
)
_LOOP = "body = b (int64 i, bool go, float[n,4] v) => (bool on, float[n,4] w) { on = Identity (go) w = %s }"
_SCAN = "num_scan_inputs = 1, body = b (float[n,4] v, float[n,4] p) => (float[n,4] w, float[n,4] o) { %s }"

_BODIES = [
    Case(_X, f"y = If (yes) <{_BRANCHES % 'ReduceMax (x)'}>", "bool yes = {1}"),
    Case(
        _X,
        f"c = ReduceMax <keepdims = 0> (s) d = Cast <to = 9> (c) y = If (d) <{_BRANCHES % 'Neg (x)'}>",
        _OF_CHANNELS,
    ),
    Case(_X, f"y = Loop (times, , x) <{_LOOP % 'Mul (v, x)'}>", "int64 times = {3}"),
    Case(
        _LONG,
        f"{_STEPS} s = Gather (t, i) y, all = Scan <{_SCAN % 'w = Add (v, p) o = Relu (w)'}> (s, t)",
        "int64 i = {0}",
    ),
    Case(
        _LONG,
        f"{_STEPS} s = Gather (t, i) l, all = Scan <{_SCAN % 'w = Add (v, p) o = Relu (w)'}> (s, t) "
        "y = Transpose <perm = [1, 0, 2]> (all)",
        "int64 i = {0}",
    ),
]

APART = [
    *_ELEMENTWISE,
    *_ALONG_OTHER_AXES,
    *_OF_IMAGES,
    *_OF_AXES,
    *_PRODUCTS,
    *_RECURRENT,
    *_QUANTIZED,
    *_BODIES,
]

_ALONG = "works along the batch"
_COUNTS = "computes with the number of rows"
_UNKNOWN = "is not known to keep the rows"
_CUTS = "cuts rows"
_TWICE = "the batch twice"

# Each with words of its reason.
MIXING = [
    (Case(_X, "m = ReduceMean <axes = [0]> (x) y = Sub (x, m)", opset=17), _ALONG),
    (Case(_X, "r = ort_rrelu.RRelu (x) m = ReduceMax <axes = [-2]> (r) y = Sub (r, m)", opset=17), _ALONG),
    (Case(_X, "m = ReduceMean (x) y = Sub (x, m)"), _ALONG),
    (Case(_X, "m = ReduceMean (x, zero) y = Sub (x, m)", _SOME), _ALONG),
    (Case(_X, "y = Softmax <axis = 0> (x)"), _ALONG),
    (Case(_X, "y = Softmax <axis = 0> (x)", opset=11), _ALONG),
    (Case(_LONG, f"{_STEPS} s = Softmax (t) y = Transpose <perm = [1, 0, 2]> (s)", opset=11), _ALONG),
    (Case(_X, "y = CumSum (x, zero)", _SOME), _ALONG),
    (Case(_X, "y, i = TopK <axis = 0> (x, one)", _SOME), _ALONG),
    (Case(_X, "m = ArgMax (x) f = Cast <to = 1> (m) y = Add (x, f)"), _ALONG),
    (Case(_X, "t = Transpose (x) s = Softmax (t) y = Transpose (s)"), _ALONG),
    (Case(_X, "first = Gather (x, zero) y = Add (x, first)", _SOME), _ALONG),
    (Case(_X, "l = Slice (x, rest, e, zero) y = Add (x, l)", f"{_SOME}, {_ints(e=[2**31 - 1])}"), _ALONG),
    (Case(_X, "y = Slice (x, rest, e, zero, rest)", f"{_SOME}, {_ints(e=[-(2**31)])}"), _ALONG),
    (Case(_PAIR, "y = Concat <axis = 0> (x, z)"), _ALONG),
    (Case(_X, "a, b = Split <num_outputs = 2> (x) y = Concat <axis = 0> (b, a)"), _ALONG),
    (Case(_X, "y = Pad (x, p)", _ints(p=[1, 0, 0, 0])), _ALONG),
    (Case(_X, "y = Resize (x, , s)", "float[2] s = {2, 1}"), _ALONG),
    (Case(_X, "t = Transpose (x) c = MatMul (t, x) y = MatMul (x, c)"), _ALONG),
    (Case(_X, "c = Gemm <transA = 1> (x, x) y = MatMul (x, c)"), _ALONG),
    (Case(_X, 'y = Einsum <equation = "bi->i"> (x)'), _ALONG),
    (Case(_IMAGE, "y = MeanVarianceNormalization (x)"), _ALONG),
    (Case(_X, "y = LayerNormalization <axis = 0> (x, s)", "float[1] s = {1}"), _ALONG),
    (Case(_X, "f = Flatten <axis = 0> (x) p = Softmax (f) y = Reshape (p, s)", _ints(s=[-1, 4])), _ALONG),
    (
        Case(_X, "f = Flatten <axis = 0> (x) p = LRN <size = 3> (f) y = Reshape (p, s)", _ints(s=[-1, 4])),
        _ALONG,
    ),
    (Case(_LONG, f"{_STEPS} y = Trilu (t)"), _ALONG),
    (Case(_X, "q, s, z = DynamicQuantizeLinear (x) y = DequantizeLinear (q, s, z)"), _ALONG),
    (
        Case(
            _LONG,
            f"s = Gather (x, i) y, all = Scan <{_SCAN % 'w = Add (v, p) o = Relu (w)'}> (s, x)",
            "int64 i = {0}",
        ),
        _ALONG,
    ),
    # The batch meets itself.
    (
        Case(_X, 'k = Einsum <equation = "bi,ci->bc"> (x, x) y = Einsum <equation = "bc,ci->bi"> (k, x)'),
        _TWICE,
    ),
    (Case(_X, "t = Transpose (x) y = MatMul (x, t)"), _TWICE),
    (Case(_X, "y = Gemm <transB = 1> (x, x)"), _TWICE),
    (Case(_X, "u = Unsqueeze (x, one) d = Sub (x, u) y = ReduceSum (d, rest)", _SOME), "different axes"),
    (Case("float[batch,3,4] x, float[batch,4] z", "y = Add (x, z)"), "different axes"),
    (
        Case(_X, "t = Transpose (x) s = Shape (t) e = Expand (x, s) y = Identity (e)"),
        "another number of rows",
    ),
    (Case(_X, f"{_ROWS} s = Concat <axis = 0> (n, n) y = ConstantOfShape (s)", _SOME), "twice"),
    # A constant that lines up with the rows of one batch size.
    (Case(_X, "y = Add (x, w)", _weights("w", 3, 1)), "3 elements along the batch"),
    (Case(_X, "y = PRelu (x, w)", _weights("w", 3, 1)), "3 elements along the batch"),
    (Case(_X, "t = Transpose (x) y = MatMul (t, w)", _weights("w", 3, 2)), _ALONG),
    (Case(_LONG, "y = MatMul (w, x)", _weights("w", 5, 2, 3)), "5 elements along the batch"),
    (Case(_X, "y = Gemm (x, w, c)", f"{_weights('w', 4, 2)}, {_weights('c', 3, 1)}"), "along the batch"),
    (Case(_X, "y = Concat <axis = 1> (x, w)", _weights("w", 3, 2)), "carry the batch differently"),
    (Case(_BYTES, "y = DequantizeLinear <axis = 0> (x, s)", _OF_CHANNELS), "scales along the batch"),
    (
        Case(
            _BYTES,
            "y = MatMulInteger (x, w, q)",
            f"{_weights('w', 4, 2, kind='uint8')}, uint8[3] q = {{1, 2, 3}}",
        ),
        "zero point for each row",
    ),
    # Rows that are cut, or joined.
    (Case(_X, "f = Reshape (x, s) p = Softmax (f) y = Reshape (p, u)", _ints(s=[2, -1], u=[-1, 4])), _CUTS),
    (
        Case(
            "float[batch,3] x",
            "f = Reshape (x, s) p = Softmax (f) y = Reshape (p, u)",
            _ints(s=[-1, 2], u=[-1, 3]),
        ),
        _CUTS,
    ),
    (Case(_X, "t = Transpose (x) y = Reshape (t, s)", _ints(s=[-1, 4])), _CUTS),
    (Case(_X, "y = Reshape (x, s)", _ints(s=[3, 4])), "no axis is a multiple"),
    (Case(_X, "y = Squeeze (x)"), "the batch too, where there is one row"),
    # The number of rows as a number.
    (Case(_X, f"{_ROWS} c = CastLike (n, x) y = Div (x, c)"), _COUNTS),
    (Case(_X, "n = Size (x) c = Cast <to = 1> (n) y = Div (x, c)"), _COUNTS),
    (Case(_X, f"{_ROWS} m = Sub (n, one) y = Gather (x, m)", _SOME), _COUNTS),
    (
        Case(
            _X,
            f"{_ROWS} s = Squeeze (n) r = Range (a, s, b) y = Gather (x, r)",
            "int64 a = {0}, int64 b = {1}",
        ),
        _COUNTS,
    ),
    (Case(_X, f"{_ROWS} p = Concat <axis = 0> (zero, n, zero, zero) y = Pad (x, p)", _SOME), _COUNTS),
    (
        Case(
            _X,
            f"{_ROWS} s = Squeeze (n) c = Equal (s, a) y = If (c) <{_BRANCHES % 'Neg (x)'}>",
            "int64 a = {2}",
        ),
        _COUNTS,
    ),
    (Case(_X, f"{_ROWS} s = Squeeze (n) y = Loop (s, , x) <{_LOOP % 'Mul (v, x)'}>"), "depends on the batch"),
    (
        Case(
            _X,
            "m = ReduceMax <keepdims = 0> (x) c = Cast <to = 9> (m) y = If (c) <"
            + _BRANCHES % "Neg (x)"
            + ">",
        ),
        _ALONG,
    ),
    (Case("bool[batch] x", f"y = If (x) <{_BRANCHES % 'Neg (x)'}>"), "depends on the batch"),
    (
        Case(_X, f"y = Loop (times, , x) <{_LOOP % 'CumSum (v, a)'}>", "int64 times = {3}, int64 a = {0}"),
        _ALONG,
    ),
    # What is not known.
    (Case(_X, "y = NonZero (x)"), _UNKNOWN),
    (Case(_X, "y = Unique (x)"), _UNKNOWN),
    (Case(_X, "y = Compress <axis = 0> (x, c)", "bool[2] c = {1, 0}"), _UNKNOWN),
    (Case(_X, "s = SequenceConstruct (x) y = ConcatFromSequence <axis = 0> (s)"), _UNKNOWN),
    (Case(_X, "y = NoSuchOperator (x)"), _UNKNOWN),
    (Case(_IMAGE, "m, i = MaxPool <kernel_shape = [2, 2]> (x) y = Identity (i)"), "the place in the batch"),
    (Case(_X, "v, n, r = ort_rrelu.RRelu (x) y = ort_rrelu.RReluGrad (x, r)"), "gives a reserve"),
    (Case(_X, "y = Relu (x)", opset=6), "of opset 6"),
    # Layers that draw, or learn.
    (Case(_X, "y = ort_rrelu.RRelu <training = 1> (x)"), "is in train mode"),
    (Case(_X, "n = RandomUniformLike (x) y = Add (n, x)"), "draws random numbers"),
    (Case(_X, "y = Dropout (x, ratio, on)", "float ratio = {0.5}, bool on = {1}"), "may be in train mode"),
    (
        Case(_X, "y, m, v = BatchNormalization <training_mode = 1> (x, s, s, s, s)", _OF_CHANNELS),
        "mixes the requests",
    ),
]
