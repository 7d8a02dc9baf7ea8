"""Nodes that let the rows of a batch see each other, or may do so, with words of the reason."""

from __future__ import annotations

from tests.rows.cases import (
    BRANCHES,
    BYTES,
    DRAWN,
    IMAGE,
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
    ints,
    weights,
)

_ALONG = "works along the batch"
_COUNTS = "computes with the number of rows"
_UNKNOWN = "is not known to keep the rows"
_CUTS = "cuts rows"
_OTHER_STEPS = "takes steps that are not one for each row"
_ROUNDED = "computes its steps from numbers that a runtime may round"
_TWICE = "the batch twice"
_UNFIT = "has a body that does not fit its inputs"

_STATES = "int64 times = {3}, float start = {0}"
_STATE = (
    "body = b (int64 i, bool go, float[n,4] v, float s) => (bool on, float[n,4] w, float t) "
    "{ on = Identity (go) w = Add (v, s) %s }"
)
_TWO_STATES = (
    "body = b (int64 i, bool go, float[n,4] v, float s, float t) "
    "=> (bool on, float[n,4] w, float p, float q) "
    "{ on = Identity (go) w = Add (v, s) p = Identity (t) q = ReduceSum <keepdims = 0> (v) }"
)

# Each with words of its reason.
MIXING = [
    (Case(X, "m = ReduceMean <axes = [0]> (x) y = Sub (x, m)", opset=17), _ALONG),
    (Case(X, "r = ort_rrelu.RRelu (x) m = ReduceMax <axes = [-2]> (r) y = Sub (r, m)", opset=17), _ALONG),
    (Case(X, "m = ReduceMean (x) y = Sub (x, m)"), _ALONG),
    (Case(X, "m = ReduceMean (x, zero) y = Sub (x, m)", SOME), _ALONG),
    (Case(X, "y = Softmax <axis = 0> (x)"), _ALONG),
    (Case(X, "y = Softmax <axis = 0> (x)", opset=11), _ALONG),
    (Case(LONG, f"{STEPS} s = Softmax (t) y = Transpose <perm = [1, 0, 2]> (s)", opset=11), _ALONG),
    (Case(X, "y = CumSum (x, zero)", SOME), _ALONG),
    (Case(X, "y, i = TopK <axis = 0> (x, one)", SOME), _ALONG),
    (Case(X, "m = ArgMax (x) f = Cast <to = 1> (m) y = Add (x, f)"), _ALONG),
    (Case(X, "t = Transpose (x) s = Softmax (t) y = Transpose (s)"), _ALONG),
    (Case(X, "first = Gather (x, zero) y = Add (x, first)", SOME), _ALONG),
    (Case(X, "l = Slice (x, rest, e, zero) y = Add (x, l)", f"{SOME}, {ints(e=[2**31 - 1])}"), _ALONG),
    (Case(X, "y = Slice (x, rest, e, zero, rest)", f"{SOME}, {ints(e=[-(2**31)])}"), _ALONG),
    (Case(PAIR, "y = Concat <axis = 0> (x, z)"), _ALONG),
    (Case(X, "a, b = Split <num_outputs = 2> (x) y = Concat <axis = 0> (b, a)"), _ALONG),
    (Case(X, "y = Pad (x, p)", ints(p=[1, 0, 0, 0])), _ALONG),
    (Case(X, "y = Resize (x, , s)", "float[2] s = {2, 1}"), _ALONG),
    (Case(X, "t = Transpose (x) c = MatMul (t, x) y = MatMul (x, c)"), _ALONG),
    (Case(X, "c = Gemm <transA = 1> (x, x) y = MatMul (x, c)"), _ALONG),
    (Case(X, 'y = Einsum <equation = "bi->i"> (x)'), _ALONG),
    (Case(IMAGE, "y = MeanVarianceNormalization (x)"), _ALONG),
    (Case(X, "y = LayerNormalization <axis = 0> (x, s)", "float[1] s = {1}"), _ALONG),
    (Case(X, "f = Flatten <axis = 0> (x) p = Softmax (f) y = Reshape (p, s)", ints(s=[-1, 4])), _ALONG),
    (
        Case(X, "f = Flatten <axis = 0> (x) p = LRN <size = 3> (f) y = Reshape (p, s)", ints(s=[-1, 4])),
        _ALONG,
    ),
    (Case(LONG, f"{STEPS} y = Trilu (t)"), _ALONG),
    (Case(X, "q, s, z = DynamicQuantizeLinear (x) y = DequantizeLinear (q, s, z)"), _ALONG),
    (
        Case(
            LONG,
            f"s = Gather (x, i) y, all = Scan <{SCAN % 'w = Add (v, p) o = Relu (w)'}> (s, x)",
            "int64 i = {0}",
        ),
        _ALONG,
    ),
    # The batch meets itself.
    (
        Case(X, 'k = Einsum <equation = "bi,ci->bc"> (x, x) y = Einsum <equation = "bc,ci->bi"> (k, x)'),
        _TWICE,
    ),
    (Case(X, "t = Transpose (x) y = MatMul (x, t)"), _TWICE),
    (Case(X, "y = Gemm <transB = 1> (x, x)"), _TWICE),
    (Case(X, "u = Unsqueeze (x, one) d = Sub (x, u) y = ReduceSum (d, rest)", SOME), "different axes"),
    (Case("float[batch,3,4] x, float[batch,4] z", "y = Add (x, z)"), "different axes"),
    (
        Case(X, "t = Transpose (x) s = Shape (t) e = Expand (x, s) y = Identity (e)"),
        "another number of rows",
    ),
    (Case(X, f"{ROWS} s = Concat <axis = 0> (n, n) y = ConstantOfShape (s)", SOME), "twice"),
    # A constant that lines up with the rows of one batch size.
    (Case(X, "y = Add (x, w)", weights("w", 3, 1)), "3 elements along the batch"),
    (Case(X, "y = PRelu (x, w)", weights("w", 3, 1)), "3 elements along the batch"),
    (Case(X, "t = Transpose (x) y = MatMul (t, w)", weights("w", 3, 2)), _ALONG),
    (Case(LONG, "y = MatMul (w, x)", weights("w", 5, 2, 3)), "5 elements along the batch"),
    (Case(X, "y = Gemm (x, w, c)", f"{weights('w', 4, 2)}, {weights('c', 3, 1)}"), "along the batch"),
    (Case(X, "y = Concat <axis = 1> (x, w)", weights("w", 3, 2)), "carry the batch differently"),
    (Case(BYTES, "y = DequantizeLinear <axis = 0> (x, s)", OF_CHANNELS), "scales along the batch"),
    (
        Case(
            BYTES,
            "y = MatMulInteger (x, w, q)",
            f"{weights('w', 4, 2, kind='uint8')}, uint8[3] q = {{1, 2, 3}}",
        ),
        "zero point for each row",
    ),
    (
        Case(
            BYTES,
            "t = Transpose (x) m = MatMulInteger (w, t, q, z) y = Transpose (m)",
            f"{SCALE}, {weights('w', 2, 4, kind='uint8')}, {weights('z', 3, kind='uint8')}",
        ),
        "zero point for each row, its input 3",
    ),
    # Rows that are cut, or joined.
    (Case(X, "f = Reshape (x, s) p = Softmax (f) y = Reshape (p, u)", ints(s=[2, -1], u=[-1, 4])), _CUTS),
    (
        Case(
            "float[batch,3] x",
            "f = Reshape (x, s) p = Softmax (f) y = Reshape (p, u)",
            ints(s=[-1, 2], u=[-1, 3]),
        ),
        _CUTS,
    ),
    (Case(X, "t = Transpose (x) y = Reshape (t, s)", ints(s=[-1, 4])), _CUTS),
    (Case(X, "y = Reshape (x, s)", ints(s=[3, 4])), "no axis is a multiple"),
    (Case(X, "y = Squeeze (x)"), "the batch too, where there is one row"),
    # The number of rows as a number.
    (Case(X, f"{ROWS} c = CastLike (n, x) y = Div (x, c)"), _COUNTS),
    (Case(X, "n = Size (x) c = Cast <to = 1> (n) y = Div (x, c)"), _COUNTS),
    (Case(X, f"{ROWS} m = Sub (n, one) y = Gather (x, m)", SOME), _COUNTS),
    (
        Case(
            X,
            f"{ROWS} s = Squeeze (n) r = Range (a, s, b) y = Gather (x, r)",
            "int64 a = {0}, int64 b = {1}",
        ),
        _COUNTS,
    ),
    (Case(X, f"{ROWS} p = Concat <axis = 0> (zero, n, zero, zero) y = Pad (x, p)", SOME), _COUNTS),
    (Case(X, f"{ROWS} y = Slice (x, zero, n, one)", SOME), _COUNTS),
    (Case(X, f"{ROWS} s = Concat <axis = 0> (n, n) y = Resize (x, , , s)"), _COUNTS),
    (
        Case(
            X,
            f"{ROWS} s = Squeeze (n) c = Equal (s, a) y = If (c) <{BRANCHES % 'Neg (x)'}>",
            "int64 a = {2}",
        ),
        _COUNTS,
    ),
    (Case(X, f"{ROWS} s = Squeeze (n) y = Loop (s, , x) <{LOOP % 'Mul (v, x)'}>"), "depends on the batch"),
    (
        Case(
            X,
            "m = ReduceMax <keepdims = 0> (x) c = Cast <to = 9> (m) y = If (c) <"
            + BRANCHES % "Neg (x)"
            + ">",
        ),
        _ALONG,
    ),
    (Case("bool[batch] x", f"y = If (x) <{BRANCHES % 'Neg (x)'}>"), "depends on the batch"),
    (
        Case(X, f"y = Loop (times, , x) <{LOOP % 'CumSum (v, a)'}>", "int64 times = {3}, int64 a = {0}"),
        _ALONG,
    ),
    # A state of the whole batch reaches the rows in the next run of the body; nobody reads its last value.
    *(
        (Case(X, f"y, last = Loop (times, , x, start) <{_STATE % state}>", _STATES), why)
        for state, why in (
            ("t = ReduceSum <keepdims = 0> (w)", _ALONG),
            ("p = Softmax <axis = 0> (w) t = ReduceSum <keepdims = 0> (p)", _ALONG),
            ("n = Size (w) t = Cast <to = 1> (n)", _COUNTS),
            ("t = RandomUniformLike (s)", "draws random numbers"),
            ("t = ort_rrelu.RRelu <training = 1> (s)", "is in train mode"),
        )
    ),
    (Case(X, f"y, one, other = Loop (times, , x, start, start) <{_TWO_STATES}>", _STATES), _ALONG),
    *(
        (Case(X, f"y = Loop (times, , x) <body = b (int64 i, bool go{a}) => (bool on{b}>", _STATES), _UNFIT)
        for a, b in (
            ("", ", float[n,4] w) { on = Identity (go) w = Neg (x) }"),
            (", float[n,4] v, float u", ", float[n,4] w) { on = Identity (go) w = Mul (v, u) }"),
            (", float[n,4] v", ") { on = Identity (go) }"),
        )
    ),
    (
        Case(
            "float[batch,4] x, float[batch,4] z",
            "c = Transpose (z) last, y = Scan <num_scan_inputs = 1, scan_output_axes = [1], body = b "
            "(float s, float[n] p) => (float t, float[n] w) "
            "{ w = Add (p, s) t = ReduceMax <keepdims = 0> (p) }> (start, c)",
            _STATES,
        ),
        _ALONG,
    ),
    # What is not known.
    (
        Case(
            X,
            "q = SequenceConstruct (s) p = SequenceMap (q) <body = b (float[4] v) => (float[n,4] w) "
            "{ w = Add (v, x) }> y = ConcatFromSequence <axis = 0> (p)",
            OF_CHANNELS,
        ),
        _UNKNOWN,
    ),
    (Case(X, f"y = If (yes) <{BRANCHES % 'Neg (x)'}>", "bool yes = {1}", 8), _UNKNOWN),
    (Case(X, "y = NonZero (x)"), _UNKNOWN),
    (Case(X, "y = Unique (x)"), _UNKNOWN),
    (Case(X, "y = Compress <axis = 0> (x, c)", "bool[2] c = {1, 0}"), _UNKNOWN),
    (Case(X, "s = SequenceConstruct (x) y = ConcatFromSequence <axis = 0> (s)"), _UNKNOWN),
    (Case(X, "y = NoSuchOperator (x)"), _UNKNOWN),
    (Case(IMAGE, "m, i = MaxPool <kernel_shape = [2, 2]> (x) y = Identity (i)"), "the place in the batch"),
    (Case(X, "v, n, r = ort_rrelu.RRelu (x) y = ort_rrelu.RReluGrad (x, r)"), "gives a reserve"),
    (Case(X, "y = Relu (x)", opset=6), "of opset 6"),
    # Layers that draw, or learn.
    (Case(X, "y = ort_rrelu.RRelu <training = 1> (x)"), "is in train mode"),
    (Case(DRAWN, f"y = {TRAIN} (x, s)", "int64 s = {3}"), "is in train mode"),
    (Case(DRAWN, f"y = {TRAIN} (x, s)", ints(s=[1, 2, 3])), "is in train mode"),
    (Case(DRAWN, "y = ort_rrelu.RRelu (x, s)", ints(s=[1, 2, 3])), "fit one number of rows only"),
    (Case(DRAWN, f"s = Slice (step, zero, one) y = {TRAIN} (x, s)", SOME), _ALONG),
    (Case(DRAWN, f"m = ReduceMax (step) s = Add (step, m) y = {TRAIN} (x, s)"), _ALONG),
    (Case(DRAWN, f"s = CumSum (step, a) y = {TRAIN} (x, s)", "int64 a = {0}"), _ALONG),
    (Case(DRAWN, f"n = Shape <start = 0, end = 1> (x) s = Add (step, n) y = {TRAIN} (x, s)"), _COUNTS),
    (Case(DRAWN, f"t = Transpose (x) d = {TRAIN} (t, step) y = Transpose (d)"), _OTHER_STEPS),
    (Case(DRAWN, f"u = Unsqueeze (step, one) y = {TRAIN} (x, u)", SOME), _OTHER_STEPS),
    (Case(DRAWN, f"d = {TRAIN} (s, step) y = Add (x, d)", OF_CHANNELS), "X that is the same for every batch"),
    (Case(DRAWN, f"t = Tile (step, two) y = {TRAIN} (x, t)", SOME), _OTHER_STEPS),
    (Case(DRAWN, f"v, n, r = {TRAIN} (x, step) y = ort_rrelu.RReluGrad (x, r)"), "gives a reserve"),
    (
        Case(X, f"m = ReduceSum <keepdims = 0> (x, one) s = Cast <to = 7> (m) y = {TRAIN} (x, s)", SOME),
        _ROUNDED,
    ),
    (
        Case(
            DRAWN,
            f"f = Cast <to = 1> (step) h = Div (f, c) s = Cast <to = 7> (h) y = {TRAIN} (x, s)",
            "float c = {3}",
        ),
        _ROUNDED,
    ),
    (Case(X, "n = RandomUniformLike (x) y = Add (n, x)"), "draws random numbers"),
    (Case(X, "y = Dropout (x, ratio, on)", "float ratio = {0.5}, bool on = {1}"), "may be in train mode"),
    (
        Case(X, "y, m, v = BatchNormalization <training_mode = 1> (x, s, s, s, s)", OF_CHANNELS),
        "mixes the requests",
    ),
]
