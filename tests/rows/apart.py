"""Operators that keep the rows of a batch apart, a few nodes each."""

from __future__ import annotations

from tests.rows.cases import (
    BOOLS,
    BRANCHES,
    BYTES,
    DRAWN,
    IMAGE,
    INTS,
    LONG,
    LOOP,
    OF_CHANNELS,
    PAIR,
    ROWS,
    SCALE,
    SCAN,
    SOME,
    STEPS,
    TRAIN,
    Case,
    X,
    each,
    ints,
    weights,
)

_ELEMENTWISE = [
    *each("Abs Acos Acosh Asin Asinh Atan Atanh Ceil Celu Cos Cosh Elu Erf Exp Floor", X, "y = OP (x)"),
    *each("HardSigmoid HardSwish Identity LeakyRelu Log Mish Neg Reciprocal Relu Round", X, "y = OP (x)"),
    *each("Selu Shrink Sigmoid Sign Sin Sinh Softplus Softsign Sqrt Tan Tanh Dropout", X, "y = OP (x)"),
    *each("ThresholdedRelu IsNaN IsInf ort_rrelu.RRelu", X, "y = OP (x)"),
    *each("Gelu", X, "y = OP (x)", opset=20),
    *each("Swish", X, "y = OP (x)", opset=24),
    *each("Add Div Max Mean Min Mul Pow Sub Sum PRelu", X, "y = OP (x, s)", OF_CHANNELS),
    *each("Add Div Max Mean Min Mul Pow Sub Sum", PAIR, "y = OP (x, z)"),
    *each("Equal Greater GreaterOrEqual Less LessOrEqual", INTS, "y = OP (x, z)"),
    *each("BitwiseAnd BitwiseOr BitwiseXor", INTS, "y = OP (x, z)"),
    *each("And Or Xor", BOOLS, "y = OP (x, z)"),
    Case(PAIR, "y = Mod <fmod = 1> (x, z)"),
    Case("uint64[batch,4] x, uint64[batch,4] z", 'y = BitShift <direction = "LEFT"> (x, z)'),
    Case(BOOLS, "y = Not (x)"),
    Case(INTS, "y = BitwiseNot (x)"),
    Case(X, "y = BitCast <to = 6> (x)", opset=26),
    Case(X, "y = Cast <to = 11> (x)"),
    Case("float[batch,4] x, double[batch,4] z", "y = CastLike (x, z)"),
    Case("float[batch,4] x, double[batch,4] z", "d = CastLike (s, x) y = Mul (x, d)", OF_CHANNELS),
    Case(X, "y = Clip (x, low)", "float low = {-1}"),
    Case("bool[batch,4] z, float[batch,1] x", "y = Where (z, x, c)", "float c = {7}"),
    Case("string[batch,2] x", "y = StringConcat (x, x)", opset=20),
    Case(PAIR, "y = SwiGLU (x, z)", opset=28),
    Case(PAIR, "y = ort_rrelu.RReluGrad (x, z)"),
    Case("float[batch,3,4] x, float[batch,4] z", "u = Unsqueeze (z, one) y = Add (x, u)", SOME),
]

_ALONG_OTHER_AXES = [
    *each(
        "ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd",
        LONG,
        "y = OP <keepdims = 0> (x, rest)",
        SOME,
    ),
    *each("ReduceSum ReduceSumSquare", LONG, "y = OP (x, one)", SOME),
    *each("ReduceSum ReduceMean", LONG, "y = OP <axes = [1, -1]> (x)", opset=11),
    Case(LONG, f"{STEPS} y = ReduceMax <keepdims = 0> (t, zero)", SOME),
    Case(X, "y = ReduceMean <noop_with_empty_axes = 1> (x)"),
    *each("Softmax LogSoftmax Hardmax LpNormalization", X, "y = OP (x)"),
    *each("Softmax LogSoftmax Hardmax", LONG, "y = OP (x)", opset=11),
    *each("ArgMax ArgMin", LONG, "y = OP <axis = 1, keepdims = 0> (x)"),
    Case(X, "y = CumSum (x, one)", SOME),
    Case(X, "y = CumProd (x, one)", "int64 one = {1}", opset=26),
    Case(X, "y, i = TopK (x, two)", SOME),
    Case(LONG, "y = LayerNormalization (x, s)", OF_CHANNELS),
    Case(LONG, "y = RMSNormalization (x, s)", OF_CHANNELS, 23),
    Case(IMAGE, "y = MeanVarianceNormalization <axes = [1, 2, 3]> (x)"),
    Case(IMAGE, "y = LRN <size = 3> (x)"),
    Case(IMAGE, "y = InstanceNormalization (x, s, s)", OF_CHANNELS),
    Case(IMAGE, "y = GroupNormalization <num_groups = 2> (x, s, s)", OF_CHANNELS, 21),
    Case(IMAGE, "y = BatchNormalization (x, s, s, s, s)", OF_CHANNELS),
    Case(X, "y = Dropout (x, ratio, off)", "float ratio = {0.5}, bool off = {0}"),
    Case(LONG, "y = Trilu (x)"),
]

_OF_IMAGES = [
    *each("GlobalAveragePool GlobalMaxPool GlobalLpPool", IMAGE, "y = OP (x)"),
    *each("AveragePool MaxPool LpPool", IMAGE, "y = OP <kernel_shape = [2, 2]> (x)"),
    *each("SpaceToDepth DepthToSpace", IMAGE, "y = OP <blocksize = 2> (x)"),
    Case(IMAGE, "y = Conv (x, w)", weights("w", 2, 4, 1, 1)),
    Case(IMAGE, "y = ConvTranspose (x, w)", weights("w", 4, 2, 1, 1)),
    Case(f"{IMAGE}, float[batch,2,6,6] o", "y = DeformConv (x, w, o)", weights("w", 2, 4, 1, 1), 22),
    Case(f"{IMAGE}, float[batch,2,2,2] z", "y = GridSample (x, z)", opset=20),
    Case("float[batch,4,9] x", "y = Col2Im (x, i, b)", ints(i=[4, 4], b=[2, 2])),
    Case(IMAGE, "y = Resize (x, , s)", "float[4] s = {1, 1, 2, 2}"),
    Case(IMAGE, 'y = Resize <mode = "linear"> (x, , s)', "float[4] s = {1, 1, 2, 2}"),
    Case(IMAGE, f"{ROWS} s = Concat <axis = 0> (n, c) y = Resize (x, , , s)", ints(c=[4, 3, 5])),
    Case(IMAGE, "y = Upsample (x, s)", "float[4] s = {1, 1, 2, 2}", 9),
]

_OF_AXES = [
    Case(LONG, "y = Transpose <perm = [0, 2, 1]> (x)"),
    Case(X, "t = Transpose (x) u = Relu (t) y = Transpose (u)"),
    Case(LONG, "y = Reshape (x, s)", ints(s=[0, -1])),
    Case(LONG, "y = Reshape (x, s)", ints(s=[-1, 12])),
    *(
        Case(LONG, f"c = Constant <{value}> () s = Cast <to = 7> (c) y = Reshape (x, s)")
        for value in ("value_ints = [-1, 12]", "value_floats = [-1.0, 12.0]", "value = int32[2] {-1, 12}")
    ),
    Case(LONG, "c = Constant <value_float = 2.0> () k = Cast <to = 7> (c) y = CumSum (x, k)"),
    Case(LONG, "k = Constant <value_int = 2> () y = CumSum (x, k)"),
    Case(LONG, "f = Reshape (x, s) m = Softmax (f) y = Reshape (m, u)", ints(s=[-1, 4], u=[-1, 3, 4])),
    Case(LONG, f"{ROWS} s = Concat <axis = 0> (n, rest) y = Reshape (x, s)", SOME),
    Case(
        LONG,
        f"{ROWS} m = Mul (n, two) s = Concat <axis = 0> (m, rest) f = Reshape (x, s) r = Softmax (f) "
        "u = Shape (x) y = Reshape (r, u)",
        SOME,
    ),
    Case(
        LONG,
        f"{STEPS} f = Flatten <axis = 2> (t) r = Softmax (f) u = Reshape (r, s) "
        "y = Transpose <perm = [1, 0, 2]> (u)",
        ints(s=[3, -1, 4]),
    ),
    Case(LONG, "y = Flatten (x)"),
    Case("float[batch,1,4] x", "y = Squeeze (x, one)", SOME),
    Case("float[batch,1,4] x", "y = Squeeze <axes = [1]> (x)", opset=11),
    Case(X, "u = Unsqueeze (x, ends) y = Squeeze (u, zero)", f"{SOME}, {ints(ends=[0, -1])}"),
    Case(X, "y = Unsqueeze <axes = [1]> (x)", opset=11),
    Case(PAIR, "y = Concat <axis = 1> (x, z)"),
    Case(X, "y = Slice (x, one, four, one)", SOME),
    Case(X, "y = Slice (x, s, e)", ints(s=[0, 1], e=[2**63 - 1, 3])),
    Case(X, f"{ROWS} y = Slice (x, zero, n, zero)", SOME),
    Case(X, "y = Slice <starts = [1], ends = [3], axes = [1]> (x)", opset=9),
    Case(X, "y, z = Split <axis = 1, num_outputs = 2> (x)"),
    Case(LONG, "y = Gather <axis = 1> (x, i)", ints(i=[1, 0])),
    Case(LONG, "y = Gather <axis = 1> (x, i)", "int64 i = {-1}"),
    Case(LONG, f"{STEPS} y = Gather <axis = 0> (t, i)", "int64 i = {-1}"),
    Case("int64[batch,2] x", "i = Mod (x, four) y = Gather (w, i)", f"{SOME}, {weights('w', 4, 2)}"),
    Case("int64[batch,1] x", "i = Mod (x, four) y = GatherND (w, i)", f"{SOME}, {weights('w', 4, 2)}"),
    Case(X + ", int64[batch,4] z", "i = Mod (z, four) y = GatherElements <axis = 1> (x, i)", SOME),
    Case(X + ", int64[batch,1] z", "i = Mod (z, four) y = GatherND <batch_dims = 1> (x, i)", SOME),
    Case(
        PAIR + ", int64[batch,4] i",
        'j = Mod (i, four) y = ScatterElements <axis = 1, reduction = "max"> (x, j, z)',
        SOME,
    ),
    Case(
        PAIR,
        "i = ArgMax <axis = 1> (x) u = ReduceMax <axes = [1]> (z) y = Scatter <axis = 1> (x, i, u)",
        opset=10,
    ),
    Case(X, "y = Pad (x, p)", ints(p=[0, 1, 0, 2])),
    Case(X, "y = Pad (x, p, , one)", f"{SOME}, {ints(p=[1, 2])}"),
    Case(X, "y = Pad <pads = [0, 1, 0, 2]> (x)", opset=9),
    Case(X, "y = Tile (x, r)", ints(r=[1, 2])),
    Case("float[batch,1] x", f"{ROWS} s = Concat <axis = 0> (n, four) y = Expand (x, s)", SOME),
    Case(
        X,
        f"{ROWS} s = Concat <axis = 0> (n, one) e = Expand (w, s) y = Concat <axis = 1> (x, e)",
        f"{SOME}, {weights('w', 1, 4)}",
    ),
    Case(
        X,
        f"{ROWS} s = Concat <axis = 0> (n, two) e = ConstantOfShape (s) y = Concat <axis = 1> (x, e)",
        SOME,
    ),
    Case("int64[batch,2] x", "y = OneHot (x, d, v)", f"int64 d = {{3}}, {ints(v=[0, 1])}"),
    Case(
        LONG + ", int64[batch] z",
        "m = Mod (z, two) l = Add (m, one) y = ReverseSequence <batch_axis = 0, time_axis = 1> (x, l)",
        SOME,
    ),
]

_MATRICES = "float[batch,3,4] x, float[batch,4,2] z"

_PRODUCTS = [
    Case(X, "y = MatMul (x, w)", weights("w", 4, 2)),
    Case(X, "t = Transpose (x) m = MatMul (w, t) y = Transpose (m)", weights("w", 2, 4)),
    Case(_MATRICES, "y = MatMul (x, z)"),
    Case(LONG, "y = MatMul (w, x)", weights("w", 1, 2, 3)),
    Case(X, "y = Gemm (x, w, c)", f"{weights('w', 4, 2)}, {weights('c', 2)}"),
    Case(PAIR, "t = Transpose (x) y = Gemm <transA = 1> (t, w, z)", weights("w", 4, 4)),
    Case(_MATRICES, 'y = Einsum <equation = "bij,bjk->bik"> (x, z)'),
    Case("float[batch,3,4] x, float[batch,3,4] z", 'y = Einsum <equation = "...ij,...kj->...ik"> (x, z)'),
    Case(LONG, 'y = Einsum <equation = "bij"> (x)'),
    Case(PAIR, 'y = Einsum <equation = "bi, bi -> b"> (x, z)'),
    Case(
        "float[batch,3,8] x, float[batch,5,8] z",
        "y = Attention <q_num_heads = 2, kv_num_heads = 2> (x, z, z, m)",
        weights("m", 3, 5),
        23,
    ),
    Case("float[batch,2,3,4] x, float[batch,3,2] z", "y = RotaryEmbedding (x, z, z)", opset=23),
    Case(
        "float[batch,2,3,4] x, int64[batch,3] z",
        "p = Mod (z, four) y = RotaryEmbedding (x, c, c, p)",
        f"{SOME}, {weights('c', 4, 2)}",
        23,
    ),
]

_ZEROS = f"{ROWS} s = Concat <axis = 0> (one, n, two) zeros = ConstantOfShape (s)"


def _recurrent(op: str, gates: int, state: str) -> Case:
    """Exporters' way of a layer that has the batch first: between two transpositions."""
    node = f"h, last = {op} <hidden_size = 2> (t, w, r{state})"
    constants = ", ".join((weights("w", 1, gates * 2, 4), weights("r", 1, gates * 2, 2), SOME))
    body = f"{STEPS} {_ZEROS} {node} u = Squeeze (h, one) y = Transpose <perm = [1, 0, 2]> (u)"
    return Case(LONG, body, constants, 15)


_RECURRENT = [
    _recurrent("LSTM", 4, ""),
    _recurrent("LSTM", 4, ", , , zeros, zeros"),
    _recurrent("GRU", 3, ", , , zeros"),
    _recurrent("RNN", 1, ", , , zeros"),
]

_QUANTIZED = [
    Case(X, "y = QuantizeLinear (x, s, q)", SCALE),
    Case(BYTES, "y = DequantizeLinear (x, s, q)", SCALE),
    Case(BYTES, "y = DequantizeLinear <axis = 1> (x, s)", OF_CHANNELS),
    Case(BYTES, "y = MatMulInteger (x, w, q)", f"{SCALE}, {weights('w', 4, 2, kind='uint8')}"),
    Case(
        BYTES,
        "y = MatMulInteger (x, w, q, z)",
        f"{SCALE}, {weights('w', 4, 2, kind='uint8')}, {weights('z', 2, kind='uint8')}",
    ),
    Case(BYTES, "y = QLinearMatMul (x, s, q, w, s, q, s, q)", f"{SCALE}, {weights('w', 4, 2, kind='uint8')}"),
    Case(
        BYTES,
        "y = QLinearMatMul (x, s, q, w, of_columns, z, s, q)",
        f"{SCALE}, {weights('w', 4, 2, kind='uint8')}, {weights('z', 2, kind='uint8')}, "
        "float[2] of_columns = {0.5, 0.25}",
    ),
    Case("uint8[batch,1,3,3] x", "y = ConvInteger (x, w)", weights("w", 1, 1, 2, 2, kind="uint8")),
    Case(
        "uint8[batch,1,3,3] x",
        "y = QLinearConv (x, s, q, w, s, q, s, q)",
        f"{SCALE}, {weights('w', 1, 1, 2, 2, kind='uint8')}",
    ),
]

_BODIES = [
    Case(X, f"y = If (yes) <{BRANCHES % 'ReduceMax (x)'}>", "bool yes = {1}"),
    Case(
        X,
        f"c = ReduceMax <keepdims = 0> (s) d = Cast <to = 9> (c) y = If (d) <{BRANCHES % 'Neg (x)'}>",
        OF_CHANNELS,
    ),
    Case(X, f"y = Loop (times, , x) <{LOOP % 'Mul (v, x)'}>", "int64 times = {3}"),
    Case(
        LONG,
        f"{STEPS} s = Gather (t, i) y, all = Scan <{SCAN % 'w = Add (v, p) o = Relu (w)'}> (s, t)",
        "int64 i = {0}",
    ),
    Case(
        LONG,
        f"{STEPS} s = Gather (t, i) l, all = Scan <{SCAN % 'w = Add (v, p) o = Relu (w)'}> (s, t) "
        "y = Transpose <perm = [1, 0, 2]> (all)",
        "int64 i = {0}",
    ),
]

# A step for each row.
_DRAWS = [
    Case(DRAWN, f"y = {TRAIN} (x, step)"),
    Case(DRAWN, f"v, y = {TRAIN} (x, step)"),
    Case(DRAWN, "y = ort_rrelu.RRelu (x, step)"),
    Case(DRAWN, "y = ort_rrelu.RRelu (x, s)", "int64[1] s = {3}"),
    Case(DRAWN, f"h = {TRAIN} (x, step) y = ort_rrelu.RRelu <training = 1, seed = 8> (h, step)"),
    Case(DRAWN, f"s = Add (step, m) t = Mul (s, m) y = {TRAIN} (x, t)", "int64[1] m = {-3}"),
    Case(
        f"{X}, int32[batch,2] step",
        f"s = ReduceMax <keepdims = 0> (step, rest) t = Cast <to = 7> (s) y = {TRAIN} (x, t)",
        SOME,
    ),
    Case(DRAWN, f"u = Unsqueeze (step, one) s = Squeeze (u, one) y = {TRAIN} (x, s)", SOME),
    # Folded [batch * 3, 4], with the steps of each third.
    Case(
        "float[batch,3,4] x, int64[batch,3] step",
        f"f = Reshape (x, s) k = Reshape (step, rest) d = {TRAIN} (f, k) y = Reshape (d, u)",
        f"{SOME}, {ints(s=[-1, 4], u=[-1, 3, 4])}",
    ),
    Case(
        DRAWN,
        f"y = Loop (times, , x) <{LOOP.replace('w = %s', f'k = Add (step, i) w = {TRAIN} (v, k)')}>",
        "int64 times = {3}",
    ),
    Case(DRAWN, f"y = If (yes) <{BRANCHES % f'{TRAIN} (x, step)'}>", "bool yes = {0}"),
]

APART = [
    *_DRAWS,
    *_ELEMENTWISE,
    *_ALONG_OTHER_AXES,
    *_OF_IMAGES,
    *_OF_AXES,
    *_PRODUCTS,
    *_RECURRENT,
    *_QUANTIZED,
    *_BODIES,
]
